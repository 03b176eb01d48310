# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The app-proxy (and wsproxy of 24.03) makes request IDs of its own; here it gets the one that the request has.

It reads one of the three header names, takes any text from it, and otherwise invents an ID: for its access log, and for
what the worker sends to the coordinator.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops import http_client, http_server
from otel_backendai.names import REQUEST_ID
from otel_backendai.releases.arguments import Argument

_NAME = Guard("app-proxy: request ID")


@http_server.HOP.wraps("ai.backend.appproxy.coordinator.server", "request_context_aware_middleware")
@http_server.HOP.wraps("ai.backend.appproxy.worker.server", "api_middleware")
@http_server.HOP.wraps("ai.backend.appproxy.worker.server", "request_context_aware_middleware")
@http_server.HOP.wraps("ai.backend.wsproxy.server", "api_middleware")
@http_server.HOP.wraps("ai.backend.wsproxy.server", "request_context_aware_middleware")
def _wrap_middleware(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    # With its attributes: aiohttp knows a middleware by one.
    @functools.wraps(original)
    async def middleware(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        async def named(request: Any) -> Any:
            with _NAME:
                value = request_id.read() if http_server.is_serving() else None
                if value is not None:
                    request[REQUEST_ID] = value
            return await handler(request)

        return await original(request, named)

    return middleware


@http_client.HOP.wraps("ai.backend.appproxy.worker.coordinator_client", "_get_request_headers")
def _wrap_get_request_headers(original: Callable[..., dict[str, str]]) -> Callable[..., dict[str, str]]:
    sent = Argument(original, 1)

    @functools.wraps(original)
    def _get_request_headers(*args: Any, **kwargs: Any) -> dict[str, str]:
        if http_client.HOP.active:
            with _NAME:
                value = request_id.read()
                if value is not None:
                    args, kwargs = sent.replaced(args, kwargs, value)
        return original(*args, **kwargs)

    return _get_request_headers
