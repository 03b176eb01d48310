# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the server calls, and what its exporter sends to: ``python -m bench.peer``, a bare HTTP/1.1 keep-alive server.

Its answer says which of our headers the call brought, so that a run can prove that each variant does its work.
"""

import asyncio

from bench import control


class PeerProtocol(asyncio.Protocol):
    """Answers one request after the other on a connection; bodies are read and thrown away."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep ``transport``, to answer on."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n") + 4) >= 4:
            head = self._received[:end].lower()
            length = end + content_length(head)
            if len(self._received) < length:
                return
            self._received = self._received[length:]
            found = b",".join(name for name in (b"traceparent", b"x-request-id") if b"\r\n" + name + b":" in head)
            assert self._transport is not None
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(found), found)
            )


def content_length(head: bytes) -> int:
    """Return the length of the body that follows ``head`` (lower case), 0 when it names none."""
    _, found, rest = head.partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


async def main() -> None:
    """Serve until the standard input ends."""
    server = await asyncio.get_running_loop().create_server(PeerProtocol, "127.0.0.1", 0)
    await control.serve({"port": server.sockets[0].getsockname()[1]}, dict)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
