# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The wsproxy: the WebSocket endpoint behind which the applications of a compute session are."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from .app_proxy_client import AUTH_HEADER
from .serving import listening, serve
from .settings import Settings, read_settings

log = logging.getLogger(__name__)

MAX_MESSAGE_SIZE = 1 << 20


class WSProxy:
    """Answers the handshake of a session and echoes what follows."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connections: set[web.WebSocketResponse] = set()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/v2/sessions/{session_id}", self._session)
        app.on_shutdown.append(self._close_connections)
        return app

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _session(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get(AUTH_HEADER) != self._settings.approxy_token:
            raise web.HTTPUnauthorized
        session_id = request.match_info["session_id"]
        connection = web.WebSocketResponse(max_msg_size=MAX_MESSAGE_SIZE)
        await connection.prepare(request)
        self._connections.add(connection)
        try:
            async for message in connection:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                if _is_hello(message.data):
                    log.info("session %s established", session_id)
                    await connection.send_json({"type": "established", "session_id": session_id})
                else:
                    await connection.send_str(message.data)
        finally:
            self._connections.discard(connection)
        return connection

    async def _close_connections(self, app: web.Application) -> None:
        for connection in list(self._connections):
            await connection.close(code=aiohttp.WSCloseCode.GOING_AWAY)


def _is_hello(text: str) -> bool:
    try:
        message = json.loads(text)
    except ValueError:
        return False
    return isinstance(message, dict) and message.get("type") == "hello"


@asynccontextmanager
async def open_worker(worker_index: int) -> AsyncIterator[str]:
    settings = read_settings()
    async with listening(WSProxy(settings).app(), settings.wsproxy_port) as url:
        yield url


if __name__ == "__main__":
    serve("wsproxy", open_worker)
