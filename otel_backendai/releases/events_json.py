# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The messages of 26.9: frozen pydantic payloads, JSON bodies, metadata that names a trace parent.

A payload is built in the producer, inside of its span, and rendered in the queue's client, below spans of upstream's
own; a message that is claimed and queued again is rendered from the model. So what a message carries is kept on the
payload object, where it survives ``model_copy`` and is no part of ``model_dump`` or of equality.
"""

import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from otel_backendai.guard import Guard
from otel_backendai.hops.event_spans import HOP
from otel_backendai.names import EVENT_FIELD, EVENT_RETRY_COUNT, METADATA, REQUEST_ID, TRACEPARENT
from otel_backendai.propagators.event_metadata import render_event_field
from otel_backendai.propagators.w3c import carried_from, text
from otel_backendai.releases.arguments import Argument
from otel_backendai.releases.event_handling import arrived
from otel_backendai.releases.event_sending import sent_context
from otel_backendai.releases.queue_names import consumed_stream, subscribed_channel

_PAYLOAD = "ai.backend.common.message_queue.payload"
_DISPATCHER = "ai.backend.common.events.dispatcher"
_KEPT = "_otel_backendai_event_field"

_BUILD = Guard("events: build payload")
_RENDER = Guard("events: render payload")
_PARSE = Guard("events: parse payload")


@HOP.wraps(_PAYLOAD, "AnycastMessagePayload.from_event_body")
@HOP.wraps(_PAYLOAD, "BroadcastMessagePayload.from_event_body")
def _wrap_from_event_body(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def from_event_body(cls: Any, **fields: Any) -> Any:
        carried = None
        with _BUILD:
            context = sent_context() if HOP.active else None
            if context is not None:
                carried = render_event_field(context)
                metadata = fields.get(METADATA)
                # In a batch all events share one, made before any of their spans was current.
                true_fields = {k: v for k, v in carried_from(context).items() if k in (REQUEST_ID, TRACEPARENT)}
                if metadata is not None and any(getattr(metadata, k, v) != v for k, v in true_fields.items()):
                    fields[METADATA] = metadata.model_copy(update=true_fields)
        return _keeping(original(cls, **fields), carried)

    return from_event_body


@HOP.wraps(_PAYLOAD, "AnycastMessagePayload.to_stream_fields")
def _wrap_to_stream_fields(original: Callable[..., dict[bytes, bytes]]) -> Callable[..., dict[bytes, bytes]]:
    @functools.wraps(original)
    def to_stream_fields(self: Any) -> dict[bytes, bytes]:
        fields = original(self)
        with _RENDER:
            kept = vars(self).get(_KEPT)
            if HOP.active and kept is not None:
                fields.setdefault(EVENT_FIELD.encode(), kept.encode())
        return fields

    return to_stream_fields


@HOP.wraps(_PAYLOAD, "BroadcastMessagePayload.to_json")
def _wrap_to_json(original: Callable[..., bytes]) -> Callable[..., bytes]:
    @functools.wraps(original)
    def to_json(self: Any) -> bytes:
        rendered = original(self)
        with _RENDER:
            kept = vars(self).get(_KEPT)
            if HOP.active and kept is not None and rendered.endswith(b"}"):
                # One more member of an object that is never empty, without parsing what may be a large body.
                return b"%b,%b:%b}" % (rendered[:-1], json.dumps(EVENT_FIELD).encode(), json.dumps(kept).encode())
        return rendered

    return to_json


@HOP.wraps(_PAYLOAD, "AnycastMessagePayload.from_stream_fields")
def _wrap_from_stream_fields(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def from_stream_fields(cls: Any, fields: Mapping[bytes, bytes]) -> Any:
        payload = original(cls, fields)
        with _PARSE:
            return _keeping(payload, text(fields.get(EVENT_FIELD.encode())))
        return payload

    return from_stream_fields


@HOP.wraps(_PAYLOAD, "BroadcastMessagePayload.from_json")
def _wrap_from_json(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def from_json(cls: Any, data: str | bytes) -> Any:
        payload = original(cls, data)
        with _PARSE:
            return _keeping(payload, text(json.loads(data).get(EVENT_FIELD)))
        return payload

    return from_json


def _keeping(payload: Any, carried: str | None) -> Any:
    if carried is not None:
        with _BUILD:
            # The model is frozen for its own fields only.
            object.__setattr__(payload, _KEPT, carried)
    return payload


@HOP.wraps(_DISPATCHER, "EventDispatcher._dispatch_consumers")
def _wrap_dispatch_consumers(original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    message = Argument(original, 1)

    @functools.wraps(original)
    async def _dispatch_consumers(self: Any, *args: Any, **kwargs: Any) -> None:
        mq_msg = message.of((self, *args), kwargs)
        _payload_arrived(mq_msg.payload, getattr(mq_msg, "msg_id", None), self, consumed_stream)
        return await original(self, *args, **kwargs)

    return _dispatch_consumers


@HOP.wraps(_DISPATCHER, "EventDispatcher._dispatch_subscribers")
def _wrap_dispatch_subscribers(original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    payload = Argument(original, 1)

    @functools.wraps(original)
    async def _dispatch_subscribers(self: Any, *args: Any, **kwargs: Any) -> None:
        _payload_arrived(payload.of((self, *args), kwargs), None, self, subscribed_channel)
        return await original(self, *args, **kwargs)

    return _dispatch_subscribers


def _payload_arrived(payload: Any, message_id: object, dispatcher: Any, stream_of: Callable[[Any], object]) -> None:
    # 26.4 to 26.8 have methods of these names, too, for messages that another module reads (events_queue).
    if not HOP.active or not hasattr(payload, "legacy_source"):
        return
    with _PARSE:
        metadata = payload.metadata
        carrier = {
            EVENT_FIELD: vars(payload).get(_KEPT),
            METADATA: {name: getattr(metadata, name, None) for name in (REQUEST_ID, TRACEPARENT)},
            EVENT_RETRY_COUNT: str(getattr(payload, "retry_count", 0)),
        }
        arrived(payload.name, carrier, message_id, stream_of(getattr(dispatcher, "_msg_queue", None)))
