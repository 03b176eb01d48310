# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What HTTP out gives to sessions and makes of the global propagator, and takes from both again.

A session gets contrib's CLIENT span (``create_trace_config``), also one that is older than the activation, and a rule
for redirects, which happen within one call.
"""

import inspect
import os
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakSet

from multidict import istr
from opentelemetry import propagate
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import TracerProvider
from yarl import URL

from otel_backendai.guard import Guard
from otel_backendai.hops.peers import is_peer_host
from otel_backendai.names import REQUEST_ID_HEADERS, W3C_FIELDS
from otel_backendai.patching import Hop
from otel_backendai.propagators.peers_only import PeersOnlyPropagator, current_outbound

_REDIRECT = Guard("http client: redirect")

# contrib's own mark on the trace configurations that its instrumentor adds to new sessions.
_CONTRIB_MARK = "_is_instrumented_by_opentelemetry"
_OUR_MARK = "_is_otel_backendai"


class HttpClientHop(Hop):
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
            self._configs[with_span] = _make_trace_config(with_span, self._provider, self._on_request_redirect)
        return self._configs[with_span]

    async def _on_request_redirect(self, session: Any, trace_config_ctx: Any, params: Any) -> None:
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
            for name in self.written:
                if name not in outbound.set_by_application:
                    params.headers.popall(name, None)


def _make_trace_config(
    with_span: bool, tracer_provider: TracerProvider | None, on_redirect: Callable[..., Awaitable[None]]
) -> Any:
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
    config.on_request_redirect.append(on_redirect)
    setattr(config, _OUR_MARK, True)
    config.freeze()
    return config
