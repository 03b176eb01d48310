# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The spans of an event: a PRODUCER span where it is sent, a CONSUMER span around each handler that gets it.

All events of Backend.AI share one stream. The event's name therefore stands where conventions want the destination
template, and the span is named after it: twenty kinds of ``send events`` would tell an operator nothing.
"""

import time
from collections.abc import Mapping, Sequence
from typing import cast

from opentelemetry import context as context_api
from opentelemetry.context import Context, create_key
from opentelemetry.semconv._incubating.attributes.messaging_attributes import (
    MESSAGING_DESTINATION_NAME,
    MESSAGING_DESTINATION_TEMPLATE,
    MESSAGING_MESSAGE_ID,
    MESSAGING_OPERATION_NAME,
    MESSAGING_OPERATION_TYPE,
    MESSAGING_SYSTEM,
)
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    SpanContext,
    SpanKind,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops import deferred, noise
from otel_backendai.hops.span_errors import clean_text
from otel_backendai.hops.span_scope import SpanScope, with_request_id
from otel_backendai.names import EVENT_RETRY_COUNT, ORIGIN_EVENT
from otel_backendai.patching import Hop
from otel_backendai.propagators.event_metadata import extract_event
from otel_backendai.propagators.w3c import field, text

HOP = Hop("events")

# A message older than this is not what its sender is still waiting for: redelivered (Backend.AI claims idle messages
# after 300 s) or read after an outage. Its handler is linked to the trace instead of stretching it.
MAX_AGE_OF_CHILD = 240.0

_SEND = Guard("events: send")
_HANDLE = Guard("events: handle")

_PRODUCING = create_key("otel-backendai-producing")
_ORIGIN = create_key("otel-backendai-event-origin")


def producer_scope(event: str, stream: object = None, entities: Mapping[str, str] | None = None) -> SpanScope:
    """Return the scope of sending one event: the current context, with a new request ID if it has none.

    Args:
        event: The event's name; a noisy one (:mod:`otel_backendai.hops.noise`) gets no span.
        stream: The name of the stream or channel, text or bytes; left out when unknown.
        entities: Attributes that name what the event is about.
    """
    context = context_api.get_current()
    attributes: dict[str, AttributeValue] = {}
    links: list[Link] = []
    tracer = None
    with _SEND:
        context, links = deferred.continued(context, entities or {})
        context, origin = with_request_id(context, ORIGIN_EVENT)
        event = clean_text(event)
        if not noise.is_noise_event(event):
            tracer = HOP.tracer
            shared = cast("dict[str, AttributeValue]", context_api.get_value(_ORIGIN, context) or {})
            attributes = _attributes(event, "publish", "send", text(stream), {**shared, **origin, **(entities or {})})
    context = context_api.set_value(_PRODUCING, True, context)
    return SpanScope(tracer, f"publish {event}", SpanKind.PRODUCER, context, attributes, links)


def sharing_scope() -> SpanScope:
    """Return the scope of sending several events that belong together: one request ID for all, no span of its own."""
    context = context_api.get_current()
    with _SEND:
        context, origin = with_request_id(context, ORIGIN_EVENT)
        if origin:
            context = context_api.set_value(_ORIGIN, origin, context)
    return SpanScope(None, "", SpanKind.PRODUCER, context)


def is_producing() -> bool:
    """Whether the current context is that of a :func:`producer_scope`: what is sent there has its span already."""
    return context_api.get_value(_PRODUCING) is not None


class Delivery:
    """One message that arrived, for all of its handlers: they share its context and, if it brought none, a new ID.

    Args:
        event: The event's name.
        carrier: The message's fields, or an application's metadata (text or bytes; anything hostile is ignored).
        message_id: The stream entry's ID (``1712345678901-0``), from which the age is read.
        stream: The stream's or channel's name.
        redelivered: True when the application knows that this is not the first delivery.
    """

    __slots__ = ("_origin", "_redelivered", "context", "event", "message_id", "stream")

    def __init__(
        self,
        event: str,
        carrier: object,
        message_id: object = None,
        stream: object = None,
        redelivered: bool = False,
    ) -> None:
        self.event = event
        self.message_id = text(message_id)
        self.context = Context()
        self.stream = text(stream)
        self._origin: dict[str, AttributeValue] = {}
        self._redelivered = redelivered
        with _HANDLE:
            self.event = clean_text(event)
            self.context, self._origin = with_request_id(extract_event(carrier), ORIGIN_EVENT)
            self._redelivered = redelivered or _is_repeated(carrier)

    @property
    def sender(self) -> SpanContext:
        """The sender's span; an invalid one when the message names none."""
        return get_current_span(self.context).get_span_context()

    def scope(self, entities: Mapping[str, str] | None = None, coalesced: Sequence["Delivery"] = ()) -> SpanScope:
        """Return the scope of one handler's call: the message's context and nothing of the reader's.

        A fresh message continues its sender's trace. One that is redelivered or older than four minutes starts a trace
        of its own, linked to its sender, under the same request ID. What is done for several requests at once is none
        of theirs: a trace and a request ID of its own, with a link to each sender, about nothing in particular.

        Args:
            entities: Attributes that name what the event is about.
            coalesced: Other messages that this call handles, too.
        """
        context, sender, origin = self.context, self.sender, self._origin
        # By their IDs: a span context holds a trace state, which cannot be hashed.
        senders = {one.sender.span_id: one.sender for one in (*coalesced, self) if one.sender.is_valid}
        links = [Link(one) for one in senders.values()]
        if len({request_id.read(one.context) for one in (*coalesced, self)}) > 1:
            context, origin = with_request_id(deferred.with_shared_work(Context()), ORIGIN_EVENT)
            entities = {}
        elif self._redelivered or _is_old(self.message_id) or len({one.trace_id for one in senders.values()}) > 1:
            context = set_span_in_context(INVALID_SPAN, context)
        else:
            links = [link for link in links if link.context.span_id != sender.span_id]
        attributes = _attributes(self.event, "process", "process", self.stream, {**origin, **(entities or {})})
        if self.message_id is not None:
            attributes[MESSAGING_MESSAGE_ID] = clean_text(self.message_id)
        quiet = noise.is_noise_event(self.event)
        name = f"process {self.event}"
        return SpanScope(HOP.tracer, name, SpanKind.CONSUMER, context, attributes, links, quiet=quiet)


def _is_repeated(carrier: object) -> bool:
    count = text(field(carrier, EVENT_RETRY_COUNT)) if isinstance(carrier, Mapping) else None
    return count is not None and count.isdecimal() and count.strip("0") != ""


def _is_old(message_id: str | None) -> bool:
    milliseconds = (message_id or "").partition("-")[0]
    # Sixteen digits are the year 300,000: longer ones are no time, and int() of megabytes is an attack.
    if not milliseconds.isdecimal() or len(milliseconds) > 16:
        return False
    return time.time() - int(milliseconds) / 1000 > MAX_AGE_OF_CHILD


def _attributes(
    event: str, operation: str, operation_type: str, stream: str | None, more: Mapping[str, AttributeValue]
) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        MESSAGING_SYSTEM: "redis",
        MESSAGING_OPERATION_NAME: operation,
        MESSAGING_OPERATION_TYPE: operation_type,
        MESSAGING_DESTINATION_TEMPLATE: event,
        **more,
    }
    if stream is not None:
        attributes[MESSAGING_DESTINATION_NAME] = clean_text(stream)
    return attributes
