# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The load: a fixed number of requests over a few keep-alive connections, each with one request at a time."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence

from bench.peer import content_length

CONNECTIONS = 16
_TIMEOUT = 60.0


class _Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], done: asyncio.Future[bytes]) -> None:
        self._requests = requests
        self._done = done
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next(b"")

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n") + 4
        if end < 4 or len(self._received) < end + content_length(self._received[:end].lower()):
            return
        answer, self._received = self._received, b""
        if not answer.startswith(b"HTTP/1.1 200 "):
            self._fail(f"the server answered {answer[:200]!r}")
            return
        self._next(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the server closed a connection")

    def _next(self, answer: bytes) -> None:
        assert self._transport is not None
        request = next(self._requests, None)
        if request is not None:
            self._transport.write(request)
            return
        if not self._done.done():
            self._done.set_result(answer)
        self._transport.close()

    def _fail(self, reason: str) -> None:
        if not self._done.done():
            self._done.set_exception(RuntimeError(reason))


async def send(port: int, requests: Sequence[bytes], count: int, connections: int = CONNECTIONS) -> bytes:
    """Send ``count`` requests to ``port``, going round ``requests``, and return the last answer of one connection.

    Raises:
        RuntimeError: An answer was not 200, or a connection was closed.
        TimeoutError: It took longer than a minute.
    """
    loop = asyncio.get_running_loop()
    shared = itertools.islice(itertools.cycle(requests), count)
    ends: list[asyncio.Future[bytes]] = [loop.create_future() for _ in range(min(connections, count))]
    async with asyncio.timeout(_TIMEOUT):
        for end in ends:
            await loop.create_connection(lambda end=end: _Connection(shared, end), "127.0.0.1", port)  # type: ignore[misc]  # mypy infers no type for a lambda with a default
        return (await asyncio.gather(*ends))[0]
