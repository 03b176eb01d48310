# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""HTTP in: one wrap below every aiohttp application, running servers and unrouted or malformed requests included.

Never a middleware: Backend.AI's manager inserts its own by index, and a middleware sees neither 404s without a route
nor the real 500. The response header goes through the request's ``_prepare_hook``, the last call before headers are
sent, for streams and WebSocket upgrades too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context, create_key
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.http_attributes import (
    HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
)
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops import noise, tokens
from otel_backendai.hops.http_attributes import KNOWN_METHODS, OTHER_METHOD, request_attributes, route_of
from otel_backendai.hops.http_extraction import extract_request_headers
from otel_backendai.hops.quiet_span import real_span
from otel_backendai.hops.span_scope import SpanScope, with_request_id
from otel_backendai.names import HEADER_RESPONSE_REQUEST_ID, ORIGIN_HTTP
from otel_backendai.patching import Hop

HOP = Hop("http_server")

_BEGIN = Guard("http server: begin")
_TOKEN = Guard("http server: token")
_FINISH = Guard("http server: finish")
_HEADER = Guard("http server: response header")

EntitiesOf = Callable[[str, Mapping[str, str]], Mapping[str, str]]
# Span attributes by the variables of a route: what they mean, the releases know, and set this.
entities_of: EntitiesOf | None = None
# The token that a request brings, if it does: where that stands, the releases know, and set this.
token_of: tokens.TokenOf | None = None

_ANSWER = create_key("otel-backendai-answer")


class _Answer:
    """What is known of the response to the current request.

    Attributes:
        scope: The request's own.
        names: The request ID that it names. Not read from baggage: a handler may bind another one for a part of its
            work.
        status: The status code that went out, ``None`` before that.
        asks: What links the span once it is known where the request's token comes from; ``None`` if it is, or if it
            has none.
    """

    __slots__ = ("asks", "names", "scope", "status")

    def __init__(self) -> None:
        self.scope: SpanScope | None = None
        self.names: str | None = None
        self.status: int | None = None
        self.asks: Callable[[Span], None] | None = None


@HOP.wraps("aiohttp.web_protocol", "RequestHandler._handle_request")
def _wrap_handle_request(original: Callable[..., Awaitable[tuple[Any, bool]]]) -> Callable[..., Any]:
    async def _handle_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> tuple[Any, bool]:
        if not HOP.active:
            return await original(self, request, *args, **kwargs)
        answer = _Answer()
        with _server_scope(request, answer) as scope:
            answer.scope = scope
            if answer.asks is not None:
                answer.asks(scope.span)
            try:
                result = await original(self, request, *args, **kwargs)
            except (asyncio.CancelledError, ConnectionError):
                # The caller hung up, the end of many a WebSocket, or aiohttp cannot send a second answer for a stream
                # that failed; what failed there, `handle_error` was told.
                scope.excuse()
                with _FINISH:
                    _finish(scope.span, request, answer.status)
                raise
            with _FINISH:
                _finish(scope.span, request, result[0].status)
            return result

    return _handle_request


@HOP.wraps("aiohttp.web_protocol", "RequestHandler.handle_error")
def _wrap_handle_error(original: Callable[..., Any]) -> Callable[..., Any]:
    # The only place that sees the exception of a handler whose client gets a bare 500.
    def handle_error(self: Any, request: Any, status: int = 500, exc: Any = None, *args: Any, **kwargs: Any) -> Any:
        if HOP.active and status >= 500 and isinstance(exc, Exception):
            with _FINISH:
                # Not the current span: the application may have left one of its own current.
                answer = context_api.get_value(_ANSWER)
                if isinstance(answer, _Answer) and answer.scope is not None and not _has_hung_up(self, exc):
                    answer.scope.fail(exc)
        return original(self, request, status, exc, *args, **kwargs)

    return handle_error


def _has_hung_up(handler: Any, error: Exception) -> bool:
    """Whether ``error`` is what a caller leaves behind who went away while something was written to it."""
    transport = handler.transport
    return isinstance(error, ConnectionError) and (transport is None or transport.is_closing())


@HOP.wraps("aiohttp.web_request", "BaseRequest._prepare_hook")
@HOP.wraps("aiohttp.web_request", "Request._prepare_hook")
def _wrap_prepare_hook(original: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    async def _prepare_hook(self: Any, response: Any) -> None:
        await original(self, response)
        if HOP.active:
            with _HEADER:
                answer = context_api.get_value(_ANSWER)
                if isinstance(answer, _Answer):
                    answer.status = response.status
                    if answer.names is not None:
                        response.headers.setdefault(HEADER_RESPONSE_REQUEST_ID, answer.names)

    return _prepare_hook


def is_serving() -> bool:
    """Whether the current context is that of a request which this hop serves."""
    return HOP.active and context_api.get_value(_ANSWER) is not None


def _server_scope(request: Any, answer: _Answer) -> SpanScope:
    """The scope of one request: extracted or minted request ID, its parent, and a SERVER span unless it is noise."""
    context, attributes, method, quiet = Context(), {}, "HTTP", True
    links: list[Link] = []
    with _BEGIN:
        context = extract_request_headers(request.headers)
        if token_of is not None:
            with _TOKEN:
                context, links = _continued(context, answer, token_of(request))
        context, origin = with_request_id(context, ORIGIN_HTTP)
        answer.names = request_id.read(context)
        context = context_api.set_value(_ANSWER, answer, context)
        attributes = request_attributes(request)
        method = str(attributes[HTTP_REQUEST_METHOD])
        attributes.update(origin)
        quiet = noise.is_noise_path(request.path, request.method)
    name = "HTTP" if method == OTHER_METHOD else method
    return SpanScope(HOP.tracer, name, SpanKind.SERVER, context, attributes, links, quiet=quiet)


def _continued(context: Context, answer: _Answer, token: tokens.Token | None) -> tuple[Context, list[Link]]:
    """What a request starts with that brings ``token``.

    Whether the application accepts the token is known later. What one that it refuses can tell its bearer is the
    request ID of the request that made it: a token of which we know is one that was given out, under that ID.
    """
    if token is None:
        return context, []
    found, links = tokens.continued(context, token)
    if found is context:
        answer.asks = partial(tokens.link_when_found, context, token)
    return found, links


def _finish(span: Span, request: Any, status: int | None) -> None:
    # A health check that fails is worth a span.
    span = real_span(span, wake=status is not None and status >= 500)
    if not span.is_recording():
        return
    match_info = getattr(request, "match_info", None)
    route = route_of(match_info)
    if route:
        span.set_attribute(HTTP_ROUTE, route)
        method = request.method if request.method in KNOWN_METHODS else "HTTP"
        span.update_name(f"{method} {route}")
        if match_info and entities_of is not None:
            span.set_attributes(entities_of(route, match_info))
    if status is None:
        return
    span.set_attribute(HTTP_RESPONSE_STATUS_CODE, status)
    if status >= 500:
        attributes = getattr(span, "attributes", None) or {}
        if ERROR_TYPE not in attributes:
            span.set_attribute(ERROR_TYPE, str(status))
            span.set_status(Status(StatusCode.ERROR))
