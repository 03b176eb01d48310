# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
What listens on a service port of a kernel, in the place of a user's program: answers
with the request head that reached it, over HTTP or as the one message of a WebSocket,
so that a call through the app proxy ends somewhere and shows which headers arrived.

And the failure that a session may ask for, by its environment. The releases' stand-ins
use both; up.sh copies it beside them, into the agent's package.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

_WEBSOCKET_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_CLOSE_TIMEOUT = 5


async def be_bad_if_asked(kernel_config: Mapping[str, Any]) -> None:
    """Be the disk under the scratch directory that the session's environment asks for: one that is full, or slow.

    ``STANDIN_FULL_DISK`` is any text, ``STANDIN_SLOW_DISK`` seconds.
    """
    if kernel_config["environ"].get("STANDIN_FULL_DISK"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    await asyncio.sleep(float(kernel_config["environ"].get("STANDIN_SLOW_DISK", 0)))


async def start_app(port: int = 0) -> asyncio.Server:
    """Listen on loopback, at a free port by default."""
    return await asyncio.start_server(_serve, "127.0.0.1", port)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Raw sockets on purpose: an HTTP library here would be instrumented too.
    try:
        request, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        headers = [field.split(": ", 1) for field in fields if ": " in field]
        body = json.dumps({"service": "stand-in", "request": request, "headers": headers}).encode()
        key = next((value for name, value in headers if name.lower() == "sec-websocket-key"), None)
        if key is None:
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            await writer.drain()
            return
        accept = base64.b64encode(hashlib.sha1(key.encode() + _WEBSOCKET_KEY, usedforsecurity=False).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept
        )
        # A text frame whose length has 16 bits, then a close frame with code 1000.
        writer.write(b"\x81\x7e" + len(body).to_bytes(2, "big") + body + b"\x88\x02\x03\xe8")
        await writer.drain()
        await asyncio.wait_for(reader.read(), _CLOSE_TIMEOUT)
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        pass  # a probe that only connects, or a peer that went away
    finally:
        writer.close()
