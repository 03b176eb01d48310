# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""`/events` and `/stream`: responses that stay open."""

import asyncio

import aiohttp
from aiohttp import web

from .event_hub import EventHub
from .manager_context import ManagerContext
from .wsproxy_client import establish_wsproxy_session


class StreamHandlers:
    """Event streams, and WebSockets that are relayed to the wsproxy."""

    def __init__(self, manager: ManagerContext) -> None:
        self._manager = manager
        self._connections: set[web.WebSocketResponse] = set()

    def events_app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/sessions", self._session_events)
        app.on_shutdown.append(self._close)
        return app

    def stream_app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/sessions/{session_id}", self._attach)
        return app

    async def _session_events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events until the client goes or the manager stops."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        hub: EventHub = self._manager.hub
        with hub.listening() as lines:
            await response.write(b": connected\n\n")
            while (line := await lines.get()) is not None:
                await response.write(f"data: {line}\n\n".encode())
        return response

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        """A WebSocket to the application of a session."""
        settings = self._manager.settings
        async with establish_wsproxy_session(
            self._manager.http, settings.wsproxy_url, request.match_info["session_id"], token=settings.approxy_token
        ) as upstream:
            downstream = web.WebSocketResponse()
            await downstream.prepare(request)
            self._connections.add(downstream)
            back = asyncio.create_task(_relay(upstream, downstream))
            try:
                await _relay(downstream, upstream)
            finally:
                self._connections.discard(downstream)
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
        return downstream

    async def _close(self, app: web.Application) -> None:
        self._manager.hub.close()
        for connection in list(self._connections):
            await connection.close(code=aiohttp.WSCloseCode.GOING_AWAY)


async def _relay(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    target: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
) -> None:
    """Pass text messages on until `source` closes, then close `target`."""
    async for message in source:
        if message.type is aiohttp.WSMsgType.TEXT:
            await target.send_str(message.data)
    await target.close()
