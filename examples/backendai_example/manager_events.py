# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The manager's event system: a producer that tells the request ID, and a dispatcher that restores it."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError

from otel_backendai.api import EventMetadata, handling_event

from .background_tasks import BackgroundTasks
from .event_reader import BroadcastReader, EventReader, GroupReader
from .event_stream import EventArgs, EventFields, read_event, read_metadata, send_event

log = logging.getLogger(__name__)

SOURCE = "manager"
GROUP = "manager"
MAX_RUNNING_HANDLERS = 32
RETRY_DELAY = 0.5

EventHandler = Callable[[EventArgs], Awaitable[None]]


class ManagerEventProducer:
    """Sends events of the manager."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def produce(self, name: str, args: EventArgs) -> None:
        """Send one event, with the ID of the current request in its metadata."""
        metadata = EventMetadata.now(source=SOURCE)
        await send_event(self._redis, name, args, source=SOURCE, metadata=metadata.to_dict())


class EventDispatcher:
    """Reads the stream while its context is open, and calls a handler for each event.

    Consumers share the work: an event goes to the consumer of one worker. Subscribers of every worker get it.
    """

    def __init__(self, redis: Redis, consumer_name: str) -> None:
        self._consumers: dict[str, EventHandler] = {}
        self._subscribers: dict[str, EventHandler] = {}
        self._group_reader = GroupReader(redis, GROUP, consumer_name)
        self._broadcast_reader = BroadcastReader(redis)
        self._handlers = BackgroundTasks()
        self._slots = asyncio.Semaphore(MAX_RUNNING_HANDLERS)
        self._loops: Sequence[asyncio.Task[None]] = ()

    def consume(self, name: str, handler: EventHandler) -> None:
        self._consumers[name] = handler

    def subscribe(self, name: str, handler: EventHandler) -> None:
        self._subscribers[name] = handler

    async def __aenter__(self) -> Self:
        for reader in (self._group_reader, self._broadcast_reader):
            await reader.prepare()
        self._loops = (
            asyncio.create_task(self._read_events(self._group_reader, self._consumers)),
            asyncio.create_task(self._read_events(self._broadcast_reader, self._subscribers)),
        )
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._handlers.end()

    async def _read_events(self, reader: EventReader, handlers: dict[str, EventHandler]) -> None:
        while True:
            try:
                for message_id, fields in await reader.read():
                    await self._slots.acquire()
                    self._handlers.start(self._handle(reader, message_id, fields, handlers))
            except (RedisError, OSError) as error:
                log.warning("cannot read events: %s", error)
                await asyncio.sleep(RETRY_DELAY)
                with contextlib.suppress(RedisError, OSError):
                    await reader.prepare()

    async def _handle(
        self, reader: EventReader, message_id: bytes, fields: EventFields, handlers: dict[str, EventHandler]
    ) -> None:
        try:
            with contextlib.suppress(Exception):  # logged by dispatch, where the request is known
                await self._dispatch(fields, handlers)
            await reader.acknowledge(message_id)
        finally:
            self._slots.release()

    async def _dispatch(self, fields: EventFields, handlers: dict[str, EventHandler]) -> None:
        try:
            name, source, args = read_event(fields)
        except ValueError as error:
            log.warning("skipped a message: %s", error)
            return
        handler = handlers.get(name)
        if handler is None:
            return
        with handling_event(name, fields):
            metadata = EventMetadata.from_dict(read_metadata(fields) or {"source": source})
            log.info("event %s from %s", name, metadata.source)
            try:
                await handler(args)
            except (aiohttp.ClientError, RedisError, OSError) as error:
                # Another component is down: its own log says more than a traceback of ours.
                log.warning("the handler of %s failed: %r", name, error)
                raise
            except Exception:
                log.exception("the handler of %s failed", name)
                raise
