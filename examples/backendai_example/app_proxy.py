# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The app-proxy coordinator: makes the circuit over which a client reaches a compute session."""

import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from .app_proxy_client import AUTH_HEADER
from .request_body import read_json_object
from .serving import listening, serve
from .settings import Settings, read_settings
from .wsproxy_client import WSProxyError, establish_wsproxy_session

log = logging.getLogger(__name__)

MAX_WSPROXY_CONNECTIONS = 64


class Coordinator:
    """Establishes one wsproxy session per circuit."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = session

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_post("/v2/circuits", self._create_circuit)
        return app

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _create_circuit(self, request: web.Request) -> web.Response:
        if request.headers.get(AUTH_HEADER) != self._settings.approxy_token:
            raise web.HTTPUnauthorized
        session_id = (await read_json_object(request)).get("session_id")
        if not isinstance(session_id, str):
            raise web.HTTPBadRequest(text="session_id is missing")
        try:
            async with establish_wsproxy_session(
                self._session, self._settings.wsproxy_url, session_id, token=self._settings.approxy_token
            ):
                circuit_id = str(uuid.uuid4())
        except (aiohttp.ClientError, WSProxyError, TimeoutError) as error:
            log.warning("no circuit for session %s: %r", session_id, error)
            raise web.HTTPBadGateway(text="the wsproxy did not accept the session") from error
        log.info("circuit %s made for session %s", circuit_id, session_id)
        return web.json_response({"circuit_id": circuit_id, "session_id": session_id}, status=201)


@asynccontextmanager
async def open_worker(worker_index: int) -> AsyncIterator[str]:
    settings = read_settings()
    connector = aiohttp.TCPConnector(limit=MAX_WSPROXY_CONNECTIONS)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        listening(Coordinator(settings, session).app(), settings.approxy_port) as url,
    ):
        yield url


if __name__ == "__main__":
    serve("app-proxy", open_worker)
