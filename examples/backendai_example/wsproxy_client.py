# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The WebSocket connection that the app-proxy coordinator and the manager open to the wsproxy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from .app_proxy_client import AUTH_HEADER

HANDSHAKE_TIMEOUT = 10.0


class WSProxyError(Exception):
    """The wsproxy did not accept the session."""


@asynccontextmanager
async def establish_wsproxy_session(
    session: aiohttp.ClientSession, wsproxy_url: str, session_id: str, *, token: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Open a WebSocket for a compute session and do the handshake; yields the established connection.

    Raises `WSProxyError` when the wsproxy answers anything but `established`.
    """
    async with session.ws_connect(
        f"{wsproxy_url}/v2/sessions/{session_id}", headers={AUTH_HEADER: token}
    ) as connection:
        await connection.send_json({"type": "hello", "session_id": session_id})
        answer = await connection.receive(timeout=HANDSHAKE_TIMEOUT)
        if answer.type is not aiohttp.WSMsgType.TEXT or answer.json().get("type") != "established":
            raise WSProxyError(f"no handshake for session {session_id}")
        yield connection
