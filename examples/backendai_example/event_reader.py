# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The two ways to read the event stream: shared with the other members of a group, or all of it."""

from collections.abc import Iterable, Iterator
from typing import Protocol, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from .event_stream import STREAM, EventFields

BATCH_SIZE = 32
BLOCK_MILLISECONDS = 1_000

Message = tuple[bytes, EventFields]


class EventReader(Protocol):
    """What the dispatcher needs of a way to read."""

    async def prepare(self) -> None:
        """Be ready to read; called at the start and again after a failure."""

    async def read(self) -> list[Message]:
        """The next messages; an empty list when there were none for a second."""

    async def acknowledge(self, message_id: bytes) -> None:
        """Tell that a message was handled."""


class GroupReader:
    """Anycast: each message goes to one member of the group."""

    def __init__(self, redis: Redis, group: str, consumer: str) -> None:
        self._redis = redis
        self._group = group
        self._consumer = consumer

    async def prepare(self) -> None:
        try:
            await self._redis.xgroup_create(STREAM, self._group, id="$", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def read(self) -> list[Message]:
        reply = await self._redis.xreadgroup(
            self._group, self._consumer, {STREAM: ">"}, count=BATCH_SIZE, block=BLOCK_MILLISECONDS
        )
        return list(_messages(reply))

    async def acknowledge(self, message_id: bytes) -> None:
        await self._redis.xack(STREAM, self._group, message_id)


class BroadcastReader:
    """Broadcast: every reader gets every message that comes after `prepare`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._last_id: bytes | None = None

    async def prepare(self) -> None:
        # Not `$` in each read: that would skip what arrives between two reads.
        if self._last_id is None:
            newest = await self._redis.xrevrange(STREAM, count=1)
            self._last_id = cast("bytes", newest[0][0]) if newest else b"0-0"

    async def read(self) -> list[Message]:
        reply = await self._redis.xread(
            {STREAM: cast("str", self._last_id)}, count=BATCH_SIZE, block=BLOCK_MILLISECONDS
        )
        messages = list(_messages(reply))
        if messages:
            self._last_id = messages[-1][0]
        return messages

    async def acknowledge(self, message_id: bytes) -> None:
        return None


def _messages(reply: object) -> Iterator[Message]:
    for _stream, messages in cast("Iterable[tuple[bytes, list[Message]]]", reply or ()):
        for message_id, fields in messages:
            # The fields of a message that was trimmed before it was read are None.
            if fields:
                yield message_id, fields
