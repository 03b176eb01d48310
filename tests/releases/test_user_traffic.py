# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""From an end user through the app-proxy of the installed release into a program: the program sees nothing of ours."""

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from tests.conftest import Telemetry

pytestmark = pytest.mark.releases(since="24.3")

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OURS = {"X-Request-ID", "X-Backend-Request-ID", "X-BackendAI-RequestID", "traceparent", "tracestate", "baggage"}
FROM_A_CLIENT_OF_OURS = {
    "X-Request-ID": "req-1",
    "X-BackendAI-RequestID": "req-1",
    "traceparent": TRACE,
    "baggage": "backendai.request.id=req-1,tenant=blue",
}


class Program:
    """What runs in the container: remembers the headers that it gets."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        self.app = web.Application()
        self.app.router.add_route("*", "/{path:.*}", self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append({name: request.headers[name] for name in OURS if name in request.headers})
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(text="hello")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(await socket.receive_str(timeout=10))
        # The program hangs up: wsproxy of 24.03 waits for that for ever when only the user does.
        await socket.close()
        return socket


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """The base URL of ``app`` on a port of the kernel's choice."""
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class _Queue:
    async def put(self, item: object) -> None:
        """Where the worker notes when a circuit was last used."""


def backend_to(program: str) -> Any:
    """The release's own HTTP backend with one route; what it counts and configures is left out."""
    try:
        module = importlib.import_module("ai.backend.appproxy.worker.proxy.backend.http")
    except ImportError:
        module = importlib.import_module("ai.backend.wsproxy.proxy.backend.http")
    url = urlsplit(program)
    route = MagicMock(traffic_ratio=1.0, kernel_port=url.port, kernel_host=url.hostname)
    route.current_kernel_host = url.hostname
    context = MagicMock(last_used_time_marker_redis_queue=_Queue(), request_counter_redis_queue=_Queue())
    context.local_config.proxy_worker.client_pool_cleanup_interval = 1
    context.local_config.proxy_worker.client_pool_keep_inflight_sessions = False
    backend = module.HTTPBackend([], context, SimpleNamespace(app="ttyd", id="circuit"))

    async def select() -> Any:
        return route

    backend.routes = [route]
    if hasattr(backend, "_pool"):
        backend._pool.select = select
    return backend


@asynccontextmanager
async def circuit(program: Program) -> AsyncIterator[str]:
    """The base URL at the end user's side of a circuit to ``program``."""
    async with serving(program.app) as inner:
        backend = backend_to(inner)

        async def proxy(request: web.Request) -> web.StreamResponse:
            is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
            answer: web.StreamResponse = await (backend.proxy_ws if is_socket else backend.proxy_http)(request)
            return answer

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", proxy)
        async with serving(app) as outer:
            yield outer
        if hasattr(backend, "close"):
            await backend.close()


def spans_of(telemetry: Telemetry) -> list[ReadableSpan]:
    """The spans of the request that the app-proxy got: its server span, and that of its call."""
    return [span for span in telemetry.spans if (span.attributes or {}).get("backendai.request.id") == "req-1"]


async def test_http(telemetry: Telemetry) -> None:
    """Up to the program and not into it: the proxy's spans are in the client's trace, the program gets plain HTTP."""
    program = Program()
    async with (
        circuit(program) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/page", headers=FROM_A_CLIENT_OF_OURS) as response,
    ):
        assert await response.text() == "hello"
    assert program.seen == [{"baggage": "tenant=blue"}]
    server = next(span for span in spans_of(telemetry) if span.kind is SpanKind.SERVER)
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" == TRACE.split("-")[2]
    call = next(span for span in spans_of(telemetry) if span.kind is SpanKind.CLIENT)
    assert call.parent is not None
    assert server.context is not None
    assert call.parent.span_id == server.context.span_id
    assert call.status.status_code is not StatusCode.ERROR


async def test_a_web_socket(telemetry: Telemetry) -> None:
    """The same for an upgrade; messages go both ways."""
    program = Program()
    async with (
        circuit(program) as url,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/ws", headers=FROM_A_CLIENT_OF_OURS) as socket,
    ):
        await socket.send_str("ping")
        assert (await socket.receive(timeout=10)).data == "ping"
    assert program.seen == [{}], "the app-proxy opens a connection of its own, with no header of the user"


async def test_what_is_the_users_own(telemetry: Telemetry) -> None:
    """A tracing client and its own program: its headers pass as they are."""
    program = Program()
    own = {"traceparent": TRACE, "X-Request-ID": "own", "baggage": "a=b"}
    async with (
        circuit(program) as url,
        aiohttp.ClientSession() as session,
        session.post(f"{url}/infer", headers=own, data=b"{}") as response,
    ):
        assert response.status == 200
    assert program.seen == [own]


async def test_as_without_us(recorded: Telemetry) -> None:
    """What the release does by itself: it passes everything on. If that changes, so should the adapter."""
    program = Program()
    async with (
        circuit(program) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/page", headers=FROM_A_CLIENT_OF_OURS) as response,
    ):
        assert response.status == 200
    assert program.seen == [FROM_A_CLIENT_OF_OURS]
