# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""HTTP out: request ID and trace context for Backend.AI peers, nothing for anyone else.

Who may see what is decided by our wrap of ``ClientSession._request``, where every verb and ``ws_connect`` end. The
CLIENT span is contrib's, see :mod:`otel_backendai.hops.client_sessions`.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from multidict import CIMultiDict, istr
from opentelemetry import context as context_api
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from yarl import URL

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops.client_sessions import HttpClientHop
from otel_backendai.hops.peers import is_peer
from otel_backendai.hops.quiet_span import woken_already
from otel_backendai.hops.user_traffic import is_user_traffic, take_ours_off
from otel_backendai.names import REQUEST_ID_HEADERS, SENT_REQUEST_ID_HEADERS, TRACEPARENT, W3C_FIELDS
from otel_backendai.propagators.peers_only import TO_PEER, TO_THIRD_PARTY, Outbound, with_outbound

_REQUEST = Guard("http client: request")
_SESSIONS = Guard("http client: sessions")

# `istr` spares the multi-dicts the folding of the case at each look-up.
_REQUEST_ID_NAMES = tuple(map(istr, SENT_REQUEST_ID_HEADERS))

HOP = HttpClientHop()


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
