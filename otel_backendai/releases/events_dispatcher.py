# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Events from 25.6 on: producer and dispatcher above a message queue (``common/events/dispatcher.py``).

What a message looks like on the wire differs: see the modules beside this one.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from otel_backendai.guard import Guard
from otel_backendai.hops.event_spans import HOP
from otel_backendai.names import TRACEPARENT
from otel_backendai.releases.event_handling import handling, wrap_rate_control
from otel_backendai.releases.event_sending import sends, sends_batch, shares_request_id

_DISPATCHER = "ai.backend.common.events.dispatcher"

_HANDLE = Guard("events: handle")


def _anycast_stream(producer: Any) -> object:
    queue = getattr(producer, "_msg_queue", None)
    return getattr(getattr(queue, "_anycaster", queue), "_stream_key", None)


def _broadcast_channel(producer: Any) -> object:
    queue = getattr(producer, "_msg_queue", None)
    return getattr(getattr(queue, "_broadcaster", queue), "_channel", None)


HOP.wraps(_DISPATCHER, "EventProducer.anycast_event")(sends(0, _anycast_stream))
HOP.wraps(_DISPATCHER, "EventProducer.broadcast_event")(sends(0, _broadcast_channel))
HOP.wraps(_DISPATCHER, "EventProducer.broadcast_event_with_cache")(sends(1, _broadcast_channel))
HOP.wraps(_DISPATCHER, "EventProducer.broadcast_events_batch")(sends_batch(_broadcast_channel))
HOP.wraps(_DISPATCHER, "EventProducer.anycast_and_broadcast_event")(shares_request_id)
HOP.wraps(_DISPATCHER, "CoalescingState.rate_control")(wrap_rate_control)


@HOP.wraps(_DISPATCHER, "EventDispatcher._handle")
def _wrap_handle(original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(original)
    async def _handle(
        self: Any, evh: Any, source: Any, body: Any, post_callbacks: Any = (), metadata: Any = None, **kwargs: Any
    ) -> None:
        if not HOP.active:
            return await original(self, evh, source, body, post_callbacks, metadata, **kwargs)
        message_id, stream = None, None
        with _HANDLE:
            message_id, stream = _origin_of(self, post_callbacks)
        with handling(evh, lambda: _decoded(evh.event_cls, body), message_id, stream):
            return await original(self, evh, source, body, post_callbacks, _without_trace(metadata), **kwargs)

    return _handle


def _origin_of(dispatcher: Any, post_callbacks: Any) -> tuple[object, object]:
    """The message's ID, known only to the callback that acknowledges it (a broadcast has neither), and its stream."""
    queue = getattr(dispatcher, "_msg_queue", None)
    message_id = getattr(post_callbacks[0], "_msg_id", None) if post_callbacks else None
    if message_id is not None:
        names = getattr(getattr(queue, "_consumer", None), "_stream_keys", ())
    else:
        names = getattr(getattr(queue, "_subscriber", None), "_channels", ())
    # A reader of several does not tell which one a message came from.
    return message_id, next(iter(names)) if len(names) == 1 else None


def _decoded(event_class: Any, body: Any) -> object:
    decode = getattr(event_class, "from_message", None) or event_class.deserialize
    return decode(body)


def _without_trace(metadata: Any) -> Any:
    """26.9 opens a CONSUMER span of its own, with the same name, under what metadata names; ours stands for both."""
    if getattr(metadata, TRACEPARENT, None) is None:
        return metadata
    return metadata.model_copy(update={TRACEPARENT: None})
