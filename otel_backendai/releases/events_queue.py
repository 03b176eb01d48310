# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The messages of 25.6 to 26.8: mappings that the queue gets from the producer, and gives to the dispatcher.

Never a key inside their ``metadata`` (25.12 on): a consumer without the plugin answers one with a ``TypeError`` and
gets the message again and again. A message that is claimed is queued again below the queue, as the raw fields that
were read, ours included.
"""

import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from otel_backendai.guard import Guard
from otel_backendai.hops.event_spans import HOP
from otel_backendai.names import EVENT_FIELD, EVENT_NAME
from otel_backendai.propagators.event_metadata import render_event_field, with_event_field
from otel_backendai.propagators.w3c import field
from otel_backendai.releases.event_handling import arrived
from otel_backendai.releases.event_sending import sent_context
from otel_backendai.releases.queue_names import consumed_stream, subscribed_channel

# A module up to 25.11, then a package that has the class from one of its own.
_REDIS = "ai.backend.common.message_queue.redis_queue"
_HIREDIS = "ai.backend.common.message_queue.hiredis_queue"

_SEND = Guard("events: queue")
_READ = Guard("events: read")

Coroutine = Callable[..., Awaitable[Any]]
Generator = Callable[..., AsyncGenerator[Any, None]]


@HOP.wraps(_REDIS, "RedisQueue.send")
@HOP.wraps(_REDIS, "RedisQueue.broadcast")
@HOP.wraps(_HIREDIS, "HiRedisQueue.send")
@HOP.wraps(_HIREDIS, "HiRedisQueue.broadcast")
def _wrap_send(original: Coroutine) -> Coroutine:
    @functools.wraps(original)
    async def send(self: Any, payload: Any, *args: Any, **kwargs: Any) -> Any:
        return await original(self, _with_field(payload), *args, **kwargs)

    return send


@HOP.wraps(_REDIS, "RedisQueue.broadcast_with_cache")
@HOP.wraps(_HIREDIS, "HiRedisQueue.broadcast_with_cache")
def _wrap_broadcast_with_cache(original: Coroutine) -> Coroutine:
    @functools.wraps(original)
    async def broadcast_with_cache(self: Any, cache_id: Any, payload: Any, *args: Any, **kwargs: Any) -> Any:
        return await original(self, cache_id, _with_field(payload), *args, **kwargs)

    return broadcast_with_cache


@HOP.wraps(_REDIS, "RedisQueue.broadcast_batch")
@HOP.wraps(_HIREDIS, "HiRedisQueue.broadcast_batch")
def _wrap_broadcast_batch(original: Coroutine) -> Coroutine:
    @functools.wraps(original)
    async def broadcast_batch(self: Any, events: Any, *args: Any, **kwargs: Any) -> Any:
        with _SEND:
            for event in events if HOP.active else ():
                context = sent_context()
                carried = None if context is None else render_event_field(context)
                if carried is not None and type(event.payload) is dict:
                    # Made for this message by the producer, and by nobody else's hands.
                    event.payload.setdefault(EVENT_FIELD, carried)
        return await original(self, events, *args, **kwargs)

    return broadcast_batch


def _with_field(payload: Any) -> Any:
    with _SEND:
        context = sent_context() if HOP.active and type(payload) is dict else None
        if context is not None:
            return with_event_field(payload, context)
    return payload


@HOP.wraps(_REDIS, "RedisQueue.consume_queue")
@HOP.wraps(_HIREDIS, "HiRedisQueue.consume_queue")
def _wrap_consume_queue(original: Generator) -> Generator:
    return _noting(original, consumed_stream)


@HOP.wraps(_REDIS, "RedisQueue.subscribe_queue")
@HOP.wraps(_HIREDIS, "HiRedisQueue.subscribe_queue")
def _wrap_subscribe_queue(original: Generator) -> Generator:
    return _noting(original, subscribed_channel)


def _noting(original: Generator, stream_of: Callable[[Any], object]) -> Generator:
    @functools.wraps(original)
    async def read(self: Any, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        async with aclosing(original(self, *args, **kwargs)) as messages:
            async for message in messages:
                # What is set in a generator is seen by the task that drives it, and by the tasks that it makes.
                with _READ:
                    fields = getattr(message, "payload", None)
                    # From 26.9 on no mapping: events_json.
                    if HOP.active and isinstance(fields, Mapping):
                        message_id = getattr(message, "msg_id", None)
                        arrived(field(fields, EVENT_NAME), fields, message_id, stream_of(self))
                yield message

    return read
