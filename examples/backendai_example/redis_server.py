# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A Redis-compatible server in pure Python, for machines that have no `redis-server`.

`python -m backendai_example.redis_server --port 6379` serves on loopback until SIGINT or SIGTERM. Everything is in
memory. It has what the example needs, which includes streams with consumer groups and blocking reads, and neither
publish/subscribe nor blocking list commands.
"""

import argparse
import asyncio
import logging
import signal
import sys

import fakeredis
from redis.exceptions import RedisError

from .logs import configure_logging
from .redis_commands import ClientConnection, StreamSignal
from .resp import ProtocolError, encode_error, encode_reply, read_command

log = logging.getLogger(__name__)


class RedisServer:
    """Serves one database to all clients."""

    def __init__(self) -> None:
        self._server = fakeredis.FakeServer()
        self._signal = StreamSignal()
        self._connections: set[asyncio.Task[None]] = set()

    async def run(self, port: int) -> None:
        """Serve on a loopback port until a signal asks to stop."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        listener = await asyncio.start_server(self._accept, "127.0.0.1", port)
        log.info("ready: listens on redis://127.0.0.1:%d", port)
        await stop.wait()
        listener.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        log.info("stopped")

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve_client(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = ClientConnection(self._server, self._signal)
        try:
            while command := await read_command(reader):
                try:
                    reply = encode_reply(await client.execute(command), client.protocol)
                except RedisError as error:
                    reply = encode_error(str(error))
                writer.write(reply)
                await writer.drain()
        except (ProtocolError, asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            log.debug("connection closed: %r", error)
        finally:
            client.close()
            writer.close()


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m backendai_example.redis_server")
    parser.add_argument("--port", type=int, default=6379)
    options = parser.parse_args(arguments)
    configure_logging("redis")
    asyncio.run(RedisServer().run(options.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
