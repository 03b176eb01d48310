# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The events of whatever release is installed: its producer, its dispatcher, events to send, by one set of names."""

import asyncio
import importlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import redis.asyncio

STREAM = "events"
CHANNEL = "events_all"
ELSEWHERE = "elsewhere"
FAMILY = tuple(int(part) for part in version("backend.ai-common").split(".")[:2])
OF_STREAMS = FAMILY < (25, 6)
OF_REDIS_PY = FAMILY < (25, 11)
# REDIS_STREAM_DB, as in every component; readers of 25.15 to 26.8 read from it whatever they are told.
DB = 4


class Bus:
    """A producer and a dispatcher, connected by a real Redis.

    Attributes:
        redis: A client of that Redis, to look at messages and to write some.
    """

    def __init__(self, producer: Any, dispatcher: Any, elsewhere: Any, client: Any) -> None:
        self.producer, self.dispatcher, self.redis = producer, dispatcher, client
        self._elsewhere = elsewhere

    def consume(self, event_class: Any, callback: Callable[..., Any], **options: Any) -> None:
        """Register a handler that one process of its group runs."""
        self.dispatcher.consume(event_class, None, callback, **options)

    def subscribe(self, event_class: Any, callback: Callable[..., Any], **options: Any) -> None:
        """Register a handler that every process runs."""
        self.dispatcher.subscribe(event_class, None, callback, **options)

    async def start(self) -> None:
        """Start to read."""
        if OF_STREAMS:
            await self.dispatcher.__ainit__()
        elif hasattr(self.dispatcher, "start"):
            # That of 25.7 began when it was made.
            await self.dispatcher.start()
        # A reader of a stream without a group, and a subscriber, see only what is sent after they began.
        await asyncio.sleep(0.5)

    async def send(self, event: Any) -> None:
        """Send to consumers."""
        await _sender(self.producer)(event)

    async def rendered(self, event: Any) -> dict[bytes, bytes]:
        """The message that the producer makes of ``event`` now; nobody reads it."""
        await _sender(self._elsewhere)(event)
        message: dict[bytes, bytes] = (await self.redis.xrange(ELSEWHERE))[-1][1]
        return message

    async def write(self, message: dict[bytes, bytes], message_id: str = "*") -> None:
        """Put a message into the stream as it is."""
        parts = [part for pair in message.items() for part in pair]
        await self.redis.execute_command("XADD", STREAM, message_id, *parts)

    async def sent(self) -> list[dict[bytes, bytes]]:
        """The messages in the stream."""
        return [fields for _, fields in await self.redis.xrange(STREAM)]


def _sender(producer: Any) -> Callable[[Any], Awaitable[None]]:
    sender: Callable[[Any], Awaitable[None]] = getattr(producer, "anycast_event", None) or producer.produce_event
    return sender


def event_class(module: str, name: str, broadcast: bool = False) -> Any:
    """An event's class, for example of ``session`` the ``SessionStarted``."""
    kind = "broadcast" if broadcast else "anycast"
    for path in (f"events.event_types.{module}.{kind}", f"events.{module}", "events"):
        try:
            found = importlib.import_module(f"ai.backend.common.{path}")
        except ModuleNotFoundError:
            continue
        for suffix in (f"{kind.capitalize()}Event", "Event"):
            if hasattr(found, name + suffix):
                return getattr(found, name + suffix)
    raise LookupError(name)


def session_class(what: str, broadcast: bool = False) -> Any:
    """The class of a session's event: ``Started``, ``Enqueued``, ``Cancelled``."""
    return event_class("session", f"Session{what}", broadcast)


def session_event(what: str, session_id: uuid.UUID, *, broadcast: bool = False) -> Any:
    """An event of a session: ``Started``, ``Enqueued``, ``Cancelled``."""
    return session_class(what, broadcast)(session_id=session_id, creation_id="c-1")


@asynccontextmanager
async def open_bus(port: int) -> AsyncIterator[Bus]:
    """The release's producer and dispatcher above an empty Redis on ``port``."""
    client = redis.asyncio.Redis(host="127.0.0.1", port=port, db=DB)
    await client.flushall()
    producer, dispatcher, elsewhere = await (_of_streams(port) if OF_STREAMS else _of_queues(port))
    try:
        yield Bus(producer, dispatcher, elsewhere, client)
    finally:
        if not OF_STREAMS or hasattr(dispatcher, "consumer_loop_task"):
            await asyncio.wait_for(dispatcher.close(), 20)
        for one in (producer, elsewhere):
            await asyncio.wait_for(one.close(), 20)
        await client.close()


async def _of_streams(port: int) -> tuple[Any, Any, Any]:
    from ai.backend.common.events import EventDispatcher, EventProducer
    from ai.backend.common.types import HostPortPair

    config: Any = {"addr": HostPortPair("127.0.0.1", port), "redis_helper_config": {}}
    # Not awaited as a whole: that would start the reader before handlers are registered.
    dispatcher = object.__new__(EventDispatcher)
    dispatcher.__init__(config, db=DB, consumer_group="manager", node_id="test")
    producers = [await EventProducer.new(config, db=DB, stream_key=key) for key in (STREAM, ELSEWHERE)]
    return producers[0], dispatcher, producers[1]


async def _of_queues(port: int) -> tuple[Any, Any, Any]:
    from ai.backend.common.types import AgentId

    try:
        from ai.backend.common.events.dispatcher import EventDispatcher, EventProducer
    except ModuleNotFoundError:
        from ai.backend.common.events import EventDispatcher, EventProducer

    queue = _old_queue if OF_REDIS_PY else _queue
    both = await queue(port, STREAM, {STREAM}, {CHANNEL})
    elsewhere = await queue(port, ELSEWHERE, set(), {"nobody"})
    source = AgentId("i-test")
    return EventProducer(both, source=source), EventDispatcher(both), EventProducer(elsewhere, source=source)


async def _queue(port: int, stream: str, streams: set[str], channels: set[str]) -> Any:
    from ai.backend.common.message_queue.redis_queue import RedisMQArgs, RedisQueue
    from ai.backend.common.types import HostPortPair, RedisTarget

    target = RedisTarget(addr=HostPortPair("127.0.0.1", port), redis_helper_config={})
    options: dict[str, Any] = {"anycast_stream_key": stream, "broadcast_channel": CHANNEL, "group_name": "manager"}
    reads: dict[str, Any] = {"consume_stream_keys": streams, "subscribe_channels": channels}
    return await RedisQueue.create(target, RedisMQArgs(**options, **reads, node_id="test", db=DB))


async def _old_queue(port: int, stream: str, *_: set[str]) -> Any:
    from ai.backend.common.message_queue.redis_queue import RedisMQArgs, RedisQueue

    return RedisQueue(redis_object(port, DB), RedisMQArgs(stream_key=stream, group_name="manager", node_id="test"))


def redis_object(port: int, db: int) -> Any:
    """A client of redis-py, as the components up to 25.10 make one."""
    from ai.backend.common import redis_helper, types

    address: dict[str, Any] = {"addr": types.HostPortPair("127.0.0.1", port), "redis_helper_config": {}}
    target: Any = types.RedisTarget(**address) if hasattr(types, "RedisTarget") else address
    return redis_helper.get_redis_object(target, name="test", db=db)


async def eventually(condition: Callable[[], Any], seconds: float = 15) -> Any:
    """Wait until ``condition`` answers something true, and return it."""
    async with asyncio.timeout(seconds):
        while not (answer := condition()):  # noqa: ASYNC110  # what is waited for sets no event
            await asyncio.sleep(0.02)
    return answer
