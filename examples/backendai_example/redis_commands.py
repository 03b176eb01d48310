# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The commands of the embedded Redis server: fakeredis executes them, blocking reads wait in the event loop.

fakeredis brings a TCP server of its own. It is not used, because its XREADGROUP returns at once where BLOCK tells it to
wait, because it closes connections under load, and because it runs one polling thread per connection (2.40).
"""

import asyncio
from typing import Any

import fakeredis
import redis
from redis.exceptions import ResponseError

# These would block the event loop, or need replies without a request.
UNSUPPORTED = frozenset(
    b"BLPOP BRPOP BLMOVE BRPOPLPUSH BLMPOP BZPOPMIN BZPOPMAX BZMPOP WAIT WAITAOF "
    b"SUBSCRIBE PSUBSCRIBE SSUBSCRIBE MONITOR SYNC PSYNC".split()
)
READS = (b"XREAD", b"XREADGROUP")
_CAN_CHOOSE_PROTOCOL = int(redis.__version__.split(".")[0]) >= 5


class StreamSignal:
    """Wakes all who wait for an entry of a stream."""

    def __init__(self) -> None:
        self._added = asyncio.Event()

    def notify(self) -> None:
        """Wake everyone who waits now; who waits later waits for the next entry."""
        self._added.set()
        self._added = asyncio.Event()

    def next_entry(self) -> asyncio.Event:
        """The event that the next `notify` sets. Take it before looking, so that no entry is missed."""
        return self._added


class ClientConnection:
    """The state of one client: its protocol, its database, its transaction."""

    def __init__(self, server: fakeredis.FakeServer, signal: StreamSignal) -> None:
        self._server = server
        self._signal = signal
        self.protocol = 2
        self._client = self._new_client()

    def close(self) -> None:
        """Give up the state of this client."""
        self._client.close()

    async def execute(self, command: list[bytes]) -> Any:
        """Execute a command and return the reply. Raises `RedisError` for a refused one."""
        name = command[0].upper()
        if name in UNSUPPORTED:
            raise ResponseError(f"the embedded server does not support {name.decode()}")
        if name == b"HELLO":
            return self._hello(command[1:])
        if name in READS:
            return await self._read(command)
        reply = self._run(*command)
        if name in (b"XADD", b"EXEC"):
            self._signal.notify()
        return reply

    def _run(self, *command: bytes) -> Any:
        return self._client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py does not annotate it

    def _new_client(self) -> fakeredis.FakeRedis:
        options: dict[str, Any] = {"protocol": self.protocol} if _CAN_CHOOSE_PROTOCOL else {}
        client = fakeredis.FakeRedis(server=self._server, single_connection_client=True, **options)
        # Without these the replies are what the server sends.
        client.response_callbacks.clear()
        return client

    def _hello(self, arguments: list[bytes]) -> dict[bytes, object]:
        wanted = arguments[0] if arguments else b"%d" % self.protocol
        if wanted not in ((b"2", b"3") if _CAN_CHOOSE_PROTOCOL else (b"2",)):
            raise ResponseError("NOPROTO unsupported protocol version")
        if int(wanted) != self.protocol:
            self.protocol = int(wanted)
            self._client.close()
            self._client = self._new_client()
        return {
            b"server": b"redis",
            b"version": b"7.0.0",
            b"proto": self.protocol,
            b"mode": b"standalone",
            b"role": b"master",
            b"modules": [],
        }

    async def _read(self, command: list[bytes]) -> Any:
        """XREAD and XREADGROUP, with BLOCK done here."""
        command, block = _without_block(command)
        if block is None:
            return self._run(*command) or None
        command = self._with_last_ids(command)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + block / 1000 if block else None
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    next_entry = self._signal.next_entry()
                    reply = self._run(*command)
                    if reply and _has_messages(reply):
                        return reply
                    await next_entry.wait()
        except TimeoutError:
            return None

    def _with_last_ids(self, command: list[bytes]) -> list[bytes]:
        """XREAD's `$` means the newest entry at the time of the command, not of each look."""
        if command[0].upper() != b"XREAD":
            return command
        streams, ids = _streams_and_ids(command)
        newest = [
            self._last_id(stream) if entry_id == b"$" else entry_id
            for stream, entry_id in zip(streams, ids, strict=True)
        ]
        return command[: len(command) - len(ids)] + newest

    def _last_id(self, stream: bytes) -> bytes:
        newest = self._run(b"XREVRANGE", stream, b"+", b"-", b"COUNT", b"1")
        return bytes(newest[0][0]) if newest else b"0-0"


def _without_block(command: list[bytes]) -> tuple[list[bytes], int | None]:
    names = [argument.upper() for argument in command]
    options = names[: names.index(b"STREAMS")] if b"STREAMS" in names else names
    # A group or a consumer may be named BLOCK; the options come after both.
    first_option = 4 if names[0] == b"XREADGROUP" else 1
    if b"BLOCK" not in options[first_option:]:
        return command, None
    position = options.index(b"BLOCK", first_option)
    try:
        block = int(command[position + 1])
    except (IndexError, ValueError) as error:
        raise ResponseError("timeout is not an integer or out of range") from error
    if block < 0:
        raise ResponseError("timeout is negative")
    return command[:position] + command[position + 2 :], block


def _streams_and_ids(command: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    names = [argument.upper() for argument in command]
    if b"STREAMS" not in names:
        raise ResponseError("syntax error")
    arguments = command[names.index(b"STREAMS") + 1 :]
    half = len(arguments) // 2
    if len(arguments) != 2 * half:
        raise ResponseError("Unbalanced list of streams: for each stream key an ID must be specified")
    return arguments[:half], arguments[half:]


def _has_messages(reply: Any) -> bool:
    """A list of [stream, messages], or in RESP3 a map."""
    messages = reply.values() if isinstance(reply, dict) else (messages for _, messages in reply)
    return any(messages)
