# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Producer and dispatcher of all releases: ``common/events.py`` up to 25.7, then ``common/events/dispatcher.py``.

What a message looks like on the wire, and how it gets here, differs: see the modules beside this one.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from otel_backendai.guard import Guard
from otel_backendai.hops.event_spans import HOP
from otel_backendai.names import TRACEPARENT
from otel_backendai.releases.arguments import Argument
from otel_backendai.releases.event_handling import handling, wrap_rate_control
from otel_backendai.releases.event_sending import sends, sends_batch, shares_request_id
from otel_backendai.releases.queue_names import anycast_stream, broadcast_channel

_HANDLE = Guard("events: handle")

_DISPATCHER = "ai.backend.common.events.dispatcher"
# The same classes up to 25.7.
_EVENTS = "ai.backend.common.events"


def _to_stream(producer: Any) -> object:
    return anycast_stream(getattr(producer, "_msg_queue", producer))


def _to_channel(producer: Any) -> object:
    return broadcast_channel(getattr(producer, "_msg_queue", None))


# The names of a stream's and of a channel's destination are the queue's; before 25.6 the producer is its own queue.
HOP.wraps(_EVENTS, "EventProducer.produce_event")(sends(0, _to_stream))
HOP.wraps(_DISPATCHER, "EventProducer.produce_event")(sends(0, _to_stream))
HOP.wraps(_DISPATCHER, "EventProducer.anycast_event")(sends(0, _to_stream))
HOP.wraps(_DISPATCHER, "EventProducer.broadcast_event")(sends(0, _to_channel))
HOP.wraps(_DISPATCHER, "EventProducer.broadcast_event_with_cache")(sends(1, _to_channel))
HOP.wraps(_DISPATCHER, "EventProducer.broadcast_events_batch")(sends_batch(_to_channel))
HOP.wraps(_DISPATCHER, "EventProducer.anycast_and_broadcast_event")(shares_request_id)
HOP.wraps(_EVENTS, "CoalescingState.rate_control")(wrap_rate_control)
HOP.wraps(_DISPATCHER, "CoalescingState.rate_control")(wrap_rate_control)


@HOP.wraps(_EVENTS, "EventDispatcher.handle")
def _wrap_handle_of_type(original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    handler, body = Argument(original, 2), Argument(original, 4)

    @functools.wraps(original)
    async def handle(*args: Any, **kwargs: Any) -> None:
        if not HOP.active:
            return await original(*args, **kwargs)
        evh = handler.of(args, kwargs)
        with handling(evh, lambda: _decoded(evh.event_cls, body.of(args, kwargs))):
            return await original(*args, **kwargs)

    return handle


@HOP.wraps(_EVENTS, "EventDispatcher._handle")
@HOP.wraps(_DISPATCHER, "EventDispatcher._handle")
def _wrap_handle(original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    handler, body = Argument(original, 1), Argument(original, 3)

    @functools.wraps(original)
    async def _handle(*args: Any, **kwargs: Any) -> None:
        if not HOP.active:
            return await original(*args, **kwargs)
        evh, message = handler.of(args, kwargs), body.of(args, kwargs)
        with handling(evh, lambda: _decoded(evh.event_cls, message)):
            args = tuple(map(_without_trace, args))
            kwargs = {name: _without_trace(argument) for name, argument in kwargs.items()}
            return await original(*args, **kwargs)

    return _handle


def _decoded(event_class: Any, body: Any) -> object:
    decode = getattr(event_class, "from_message", None) or event_class.deserialize
    return decode(body)


def _without_trace(argument: Any) -> Any:
    """26.9 opens a CONSUMER span of its own, with the same name, under what metadata names; ours stands for both."""
    if getattr(argument, TRACEPARENT, None) is not None:
        with _HANDLE:
            return argument.model_copy(update={TRACEPARENT: None})
    return argument
