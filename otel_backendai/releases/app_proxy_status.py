# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The manager's question for an app-proxy's status, which has no marker header.

Marked where it is asked, not by its path: the manager also calls ``/status`` of users' programs, where a model service
says that this is its health check.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.trace import SpanKind

from otel_backendai.hops.http_client import HOP
from otel_backendai.hops.peers import with_peer
from otel_backendai.hops.span_scope import SpanScope


# Up to 26.1 a function, which two modules import by name and may have before we are here; then a client's method.
@HOP.wraps("ai.backend.manager.api.scaling_group", "query_wsproxy_status")
@HOP.wraps("ai.backend.manager.api.session", "query_wsproxy_status")
@HOP.wraps("ai.backend.manager.services.session.service", "query_wsproxy_status")
@HOP.wraps("ai.backend.manager.clients.appproxy.client", "AppProxyClient.fetch_status")
def _wrap_ask(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def ask(*args: Any, **kwargs: Any) -> Any:
        if not HOP.active:
            return await original(*args, **kwargs)
        with SpanScope(None, "", SpanKind.CLIENT, with_peer(context_api.get_current())):
            return await original(*args, **kwargs)

    return ask
