# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A Redis that is slow with our keys and channels, or refuses them, and not with anything else.

Slow: the server moves to another port while it runs (`CONFIG SET port`, Redis 7.0), and in its place stands a proxy
that holds back what names one of ours. Store, teller and listener have connections of their own, so nothing else waits
behind it. Refusing: the rights of the user whom everybody is name keys and channels by patterns; all but those with a
prefix are six patterns. A listener is hung up on when it may not listen any more.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import redis

from otel_backendai.names import SESSION_CHANNEL, SESSION_KEY_PREFIX, TOKEN_CHANNEL, TOKEN_KEY_PREFIX

# Seconds: what a slow answer takes.
DELAY = 2.0
_TIMEOUT = 10.0
# The database of the events, where the store is.
DATABASE = 4
# What is held back.
OURS = (SESSION_KEY_PREFIX, TOKEN_KEY_PREFIX, SESSION_CHANNEL, TOKEN_CHANNEL)
# Enough of what all of them begin with.
_PREFIX = "otel-b"


class KeyedRedis:
    """The server behind the proxy.

    Attributes:
        delay: Seconds; may be changed while it runs.
        held_back: How often a command was, by the name of ours in it.
    """

    def __init__(self, port: int, hidden_port: int) -> None:
        self.delay = 0.0
        self.held_back: Counter[str] = Counter()
        self._port = port
        self._hidden_port = hidden_port

    @property
    def client(self) -> Any:
        """A client that passes the proxy by. Any: redis-py 5 leaves some of its commands untyped."""
        return redis.Redis(port=self._hidden_port, db=DATABASE, socket_timeout=_TIMEOUT)

    def refuse(self) -> None:
        """From now on every command on our keys and channels is refused, on connections that exist, too."""
        others = [f"{_PREFIX[:length]}[^{_PREFIX[length]}]*" for length in range(len(_PREFIX))]
        keys, channels = [f"~{pattern}" for pattern in others], [f"&{pattern}" for pattern in others]
        self.client.execute_command("ACL", "SETUSER", "default", "resetkeys", *keys, "resetchannels", *channels)

    def allow(self) -> None:
        """From now on every key and channel is anybody's again."""
        self.client.execute_command("ACL", "SETUSER", "default", "allkeys", "allchannels")

    def has(self, session: str) -> bool:
        """Whether something is kept for a session."""
        return bool(self.client.exists(SESSION_KEY_PREFIX + session))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        # Closed when the proxy ends, too, which cancels this.
        with suppress(OSError), closing(writer):
            behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._hidden_port)
            with closing(behind_writer):
                forth = asyncio.create_task(self._pass_on(reader, behind_writer, holds_back=True))
                back = asyncio.create_task(self._pass_on(behind_reader, writer, holds_back=False))
                await asyncio.wait({forth, back}, return_when=asyncio.FIRST_COMPLETED)
                for task in (forth, back):
                    task.cancel()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, holds_back: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                ours = [name for name in OURS if name.encode() in data] if holds_back and self.delay else []
                if ours:
                    self.held_back.update(ours)
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()


@contextmanager
def keyed_redis(port: int, hidden_port: int) -> Iterator[KeyedRedis]:
    """Put the proxy in the place of the Redis at ``port``; whoever is connected already stays so.

    Args:
        port: Where the server listens, and the proxy will.
        hidden_port: Where the server listens meanwhile.
    """
    redis.Redis(port=port, socket_timeout=_TIMEOUT).config_set("port", hidden_port)
    keyed = KeyedRedis(port, hidden_port)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        serving = asyncio.start_server(keyed.serve, "127.0.0.1", port)
        server = asyncio.run_coroutine_threadsafe(serving, loop).result(_TIMEOUT)
        try:
            yield keyed
        finally:
            loop.call_soon_threadsafe(server.close)
            keyed.allow()
    finally:
        asyncio.run_coroutine_threadsafe(_end(), loop).result(_TIMEOUT)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_TIMEOUT)
        loop.close()
        redis.Redis(port=hidden_port, socket_timeout=_TIMEOUT).config_set("port", port)


async def _end() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
