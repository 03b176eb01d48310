# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""HTTP out: request ID and trace context for Backend.AI peers, nothing for anyone else.

The CLIENT span is contrib's (``create_trace_config``), given also to sessions that are older than the activation;
who may see what is decided by our wrap of ``ClientSession._request``, where every verb and ``ws_connect`` end.
"""

import inspect
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from weakref import WeakSet

from multidict import CIMultiDict, istr
from opentelemetry import context as context_api
from opentelemetry import propagate
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import TracerProvider, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from yarl import URL

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops.peers import is_peer, is_peer_host
from otel_backendai.hops.quiet_span import woken_already
from otel_backendai.hops.user_traffic import is_user_traffic, take_ours_off
from otel_backendai.names import REQUEST_ID_HEADERS, SENT_REQUEST_ID_HEADERS, TRACEPARENT, W3C_FIELDS
from otel_backendai.patching import Hop
from otel_backendai.propagators.peers_only import (
    TO_PEER,
    TO_THIRD_PARTY,
    Outbound,
    PeersOnlyPropagator,
    current_outbound,
    with_outbound,
)

_REQUEST = Guard("http client: request")
_REDIRECT = Guard("http client: redirect")
_SESSIONS = Guard("http client: sessions")

# contrib's own mark on the trace configurations that its instrumentor adds to new sessions.
_CONTRIB_MARK = "_is_instrumented_by_opentelemetry"
_OUR_MARK = "_is_otel_backendai"

# `istr` spares the multi-dicts the folding of the case at each look-up.
_REQUEST_ID_NAMES = tuple(map(istr, SENT_REQUEST_ID_HEADERS))


class _HttpClientHop(Hop):
    """Also wraps the global propagator, and takes both out again."""

    def __init__(self) -> None:
        super().__init__("http_client")
        self._provider: TracerProvider | None = None
        self._propagator: PeersOnlyPropagator | None = None
        self._sessions: WeakSet[Any] = WeakSet()
        self._configs: dict[bool, Any] = {}
        # Every header that may be written into a call to a peer: ours, and those of the global propagator.
        self.written: tuple[str, ...] = ()

    def install(self, tracer_provider: TracerProvider | None = None) -> None:
        if self.active:
            return
        self._provider = tracer_provider
        self._configs.clear()
        self._wrap_propagator(propagate.get_global_textmap())
        super().install(tracer_provider)

    def uninstall(self) -> None:
        super().uninstall()
        if self._propagator is not None and propagate.get_global_textmap() is self._propagator:
            propagate.set_global_textmap(self._propagator.wrapped)
        self._propagator = None
        for session in list(self._sessions):
            session._trace_configs = [config for config in session._trace_configs if not hasattr(config, _OUR_MARK)]
        self._sessions.clear()

    def _wrap_propagator(self, current: TextMapPropagator) -> None:
        if not isinstance(current, PeersOnlyPropagator):
            self._propagator = PeersOnlyPropagator(current)
            propagate.set_global_textmap(self._propagator)
        names = {*REQUEST_ID_HEADERS, *W3C_FIELDS, *propagate.get_global_textmap().fields}
        self.written = tuple({name.lower(): istr(name.lower()) for name in names}.values())

    def equip(self, session: Any) -> None:
        """Give ``session`` the CLIENT span if contrib has not, and in any case the redirect rule; once per session."""
        current = propagate.get_global_textmap()
        if not isinstance(current, PeersOnlyPropagator):
            # The application has set one of its own since.
            self._wrap_propagator(current)
        configs = session._trace_configs
        if configs and hasattr(configs[-1], _OUR_MARK):
            return
        self._sessions.add(session)
        has_contrib = any(hasattr(config, _CONTRIB_MARK) for config in configs)
        # A new list: the one that is there may be the application's own, shared by several sessions.
        session._trace_configs = [*configs, self._config(with_span=not has_contrib)]

    def _config(self, *, with_span: bool) -> Any:
        if with_span not in self._configs:
            self._configs[with_span] = _make_trace_config(with_span, self._provider)
        return self._configs[with_span]


HOP = _HttpClientHop()


def _make_trace_config(with_span: bool, tracer_provider: TracerProvider | None) -> Any:
    from aiohttp import TraceConfig
    from opentelemetry.instrumentation.aiohttp_client import create_trace_config

    config: Any
    if with_span:
        # The enumeration's module is private; its members are reachable through the public signature.
        modes = type(inspect.signature(create_trace_config).parameters["sem_conv_opt_in_mode"].default)
        opt_in = os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "")
        mode = modes.HTTP_DUP if "http/dup" in opt_in else modes.HTTP
        config = create_trace_config(tracer_provider=tracer_provider, sem_conv_opt_in_mode=mode)
    else:
        config = TraceConfig()
    config.on_request_redirect.append(_on_request_redirect)
    setattr(config, _OUR_MARK, True)
    config.freeze()
    return config


async def _on_request_redirect(session: Any, trace_config_ctx: Any, params: Any) -> None:
    """Take what we added off a request that a peer sends on to another origin (aiohttp drops only credentials)."""
    outbound = current_outbound()
    if outbound is None or not outbound.to_peer:
        return
    stays = False  # in case of doubt
    with _REDIRECT:
        location = params.response.headers.get("Location") or params.response.headers.get("URI") or ""
        target = params.url.join(URL(location))
        stays = target.origin() == params.url.origin() or is_peer_host(target)
    if stays:
        return
    with _REDIRECT:
        for name in HOP.written:
            if name not in outbound.set_by_application:
                params.headers.popall(name, None)


@HOP.wraps("aiohttp.client", "ClientSession._request")
def _wrap_request(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    async def _request(self: Any, method: str, str_or_url: Any, **kwargs: Any) -> Any:
        if not HOP.active:
            return await original(self, method, str_or_url, **kwargs)
        with _SESSIONS:
            HOP.equip(self)
        if isinstance(kwargs.get("headers"), Iterator):
            # Pairs that are there once only. Not under a guard: what they raise is the application's own.
            kwargs["headers"] = list(kwargs["headers"])
        prepared = None
        with _REQUEST:
            prepared = _prepare(self, method, str_or_url, kwargs)
        # In case of doubt it is a third party.
        context, headers = prepared or (with_outbound(TO_THIRD_PARTY), None)
        if headers is not None:
            kwargs["headers"] = headers
        token = context_api.attach(context)
        try:
            return await original(self, method, str_or_url, **kwargs)
        finally:
            with _REQUEST:
                # Only while it is still ours: a coroutine that is closed elsewhere must not restore ours there.
                if context_api.get_current() is context:
                    context_api.detach(token)

    return _request


def _prepare(
    session: Any, method: str, str_or_url: Any, kwargs: Mapping[str, Any]
) -> tuple[context_api.Context, CIMultiDict[str] | None]:
    """The context to make the call in, and its headers if they differ from the application's."""
    url = URL(str_or_url)
    if not url.is_absolute():
        base = getattr(session, "_base_url", None)
        url = base.join(url) if base is not None else url
    own: CIMultiDict[str] = CIMultiDict(kwargs.get("headers") or {})
    both = (own, session.headers)
    # HTTP calls of noise are noise, unless they follow on something that was not.
    current = woken_already(context_api.get_current())
    if is_user_traffic(current):
        take_ours_off(own)
        return with_outbound(TO_THIRD_PARTY, current), own
    if not is_peer(method, url, both, kwargs.get("json"), current):
        return with_outbound(TO_THIRD_PARTY, current), None
    _drop_ambient_traceparent(own)
    by_application = [name for name in HOP.written if name in own or name in both[1]]
    named = _named_by_application(both) if by_application else None
    if named is not None:
        # What the peer will read: spans and baggage of this call have to agree with it.
        current = request_id.bind(named, current)
    value = request_id.read(current)
    if value is not None:
        for name in _REQUEST_ID_NAMES:
            if name not in own and name not in both[1]:
                own[name] = value
    outbound = Outbound(to_peer=True, set_by_application=frozenset(by_application)) if by_application else TO_PEER
    return with_outbound(outbound, current), own


def _named_by_application(headers: tuple[CIMultiDict[str], ...]) -> str | None:
    for some in headers:
        for name in REQUEST_ID_HEADERS:
            value = some.get(name)
            if request_id.is_acceptable(value):
                return value
    return None


def _drop_ambient_traceparent(headers: CIMultiDict[str]) -> None:
    """Backend.AI 26.9 injects the span *around* the call by hand; kept, it would make our CLIENT span a leaf."""
    if TRACEPARENT not in headers:
        return
    ambient: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(ambient)
    if get_current_span().get_span_context().is_valid and headers[TRACEPARENT] == ambient.get(TRACEPARENT):
        for name in W3C_FIELDS:
            headers.popall(name, None)
