# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The app-proxy's worker (25.8 to 26.9) and wsproxy (24.03): the way from the end user into a container.

Both HTTP and WebSocket. Traffic that Traefik, nghttpx or the TCP frontend carries passes no code that we could wrap.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.trace import SpanKind

from otel_backendai.hops.http_client import HOP
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.hops.user_traffic import with_user_traffic


@HOP.wraps("ai.backend.appproxy.worker.proxy.backend.http", "HTTPBackend.proxy_http")
@HOP.wraps("ai.backend.appproxy.worker.proxy.backend.http", "HTTPBackend.proxy_ws")
@HOP.wraps("ai.backend.wsproxy.proxy.backend.http", "HTTPBackend.proxy_http")
@HOP.wraps("ai.backend.wsproxy.proxy.backend.http", "HTTPBackend.proxy_ws")
def _wrap_proxy(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def proxy(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not HOP.active:
            return await original(self, *args, **kwargs)
        with SpanScope(None, "", SpanKind.CLIENT, with_user_traffic(context_api.get_current())):
            return await original(self, *args, **kwargs)

    return proxy
