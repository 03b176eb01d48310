# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The middlewares of the manager's root application."""

import json
import logging
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Middleware
from callosum.rpc.exceptions import RPCError
from redis.exceptions import RedisError

from .app_proxy_client import AUTH_HEADER
from .session_table import TableFullError
from .settings import Settings
from .storage_client import StorageProxyError

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

API_VERSION = "v8.20230915"
API_VERSION_HEADER = "X-BackendAI-Version"
PUBLIC_PATHS = ("/health",)


def middlewares(settings: Settings) -> list[Middleware]:
    """All of them, outermost first."""

    @web.middleware
    async def auth_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in PUBLIC_PATHS and request.headers.get(AUTH_HEADER) != settings.api_token:
            raise web.HTTPUnauthorized
        return await handler(request)

    return [exception_middleware, api_version_middleware, auth_middleware]


@web.middleware
async def exception_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure with a JSON problem."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _problem(error.status, error.text or error.reason, error.headers.get("Allow"))
    except (StorageProxyError, TableFullError) as error:
        return _problem(error.status, str(error))
    except (RPCError, RedisError, aiohttp.ClientError, TimeoutError) as error:
        log.warning("a component failed: %r", error)
        timed_out = isinstance(error, TimeoutError)
        return _problem(504 if timed_out else 502, "a component of the cluster failed")
    except Exception:
        log.exception("the handler of %s %s failed", request.method, request.path)
        return _problem(500, "internal server error")


@web.middleware
async def api_version_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse clients that ask for another version of the API."""
    if request.headers.get(API_VERSION_HEADER, API_VERSION) != API_VERSION:
        raise web.HTTPBadRequest(text=f"this manager speaks {API_VERSION}")
    return await handler(request)


def _problem(status: int, title: str, allow: str | None = None) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps({"title": title}).encode(),
        content_type="application/problem+json",
        headers={"Allow": allow} if allow else None,
    )
