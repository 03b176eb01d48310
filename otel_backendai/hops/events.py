# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Events: a PRODUCER span where one is sent, a CONSUMER span around the handler that gets it.

Sending over redis-py streams is wrapped here (``XADD`` of a message with the fields of a Backend.AI event); who reads
a message is the application's own affair, so the receiving side is a context manager, :class:`handling_event`, for
applications that use our API and for the release adapters.

All events of Backend.AI share one stream. The event's name therefore stands where conventions want the destination
template, and the span is named after it: twenty kinds of ``send events`` would tell an operator nothing.
"""

import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.semconv._incubating.attributes.messaging_attributes import (
    MESSAGING_DESTINATION_NAME,
    MESSAGING_DESTINATION_TEMPLATE,
    MESSAGING_MESSAGE_ID,
    MESSAGING_OPERATION_NAME,
    MESSAGING_OPERATION_TYPE,
    MESSAGING_SYSTEM,
)
from opentelemetry.trace import INVALID_SPAN, Link, SpanKind, get_current_span, set_span_in_context
from opentelemetry.util.types import AttributeValue

from otel_backendai.guard import Guard
from otel_backendai.hops.span_scope import SpanScope, clean_text, with_request_id
from otel_backendai.names import EVENT_FIELD, EVENT_NAME, EVENT_RETRY_COUNT, ORIGIN_EVENT
from otel_backendai.patching import Hop
from otel_backendai.propagators.event_metadata import extract_event, is_event_message, with_event_field
from otel_backendai.propagators.w3c import field, text

HOP = Hop("events")

# A message older than this is not what its sender is still waiting for: redelivered (Backend.AI claims idle messages
# after 300 s) or read after an outage. Its handler is linked to the trace instead of stretching it.
MAX_AGE_OF_CHILD = 240.0

_SEND = Guard("events: send")
_HANDLE = Guard("events: handle")


@HOP.wraps("redis.commands.core", "StreamCommands.xadd")
def _wrap_xadd(original: Callable[..., Any]) -> Callable[..., Any]:
    def xadd(self: Any, name: Any, fields: Any, *args: Any, **kwargs: Any) -> Any:
        if not HOP.active or not _is_new_event(fields):
            return original(self, name, fields, *args, **kwargs)
        scope = _producer_scope(name, fields)
        with scope:
            sent = fields
            with _SEND:
                sent = with_event_field(fields)
            result = original(self, name, sent, *args, **kwargs)
            # The asynchronous client answers a coroutine; a pipeline answers itself and sends later.
            if inspect.iscoroutine(result):
                return scope.continued_by(result)
            return result

    return xadd


def _is_new_event(fields: object) -> bool:
    with _SEND:
        # A message that carries a context already is queued again: its sender's span is the one that counts.
        return is_event_message(fields) and isinstance(fields, dict) and field(fields, EVENT_FIELD) is None
    return False


def _producer_scope(stream: object, fields: Mapping[object, object]) -> SpanScope:
    context, attributes, event = context_api.get_current(), {}, "event"
    with _SEND:
        context, origin = with_request_id(context, ORIGIN_EVENT)
        event = clean_text(text(field(fields, EVENT_NAME)) or event)
        attributes = _attributes(event, "publish", "send", text(stream), origin)
    return SpanScope(HOP.tracer, f"publish {event}", SpanKind.PRODUCER, context, attributes)


class handling_event:  # noqa: N801  # used as `with handling_event(...):`, like contextlib.suppress
    """``with handling_event("kernel_started", fields):`` around one call of one handler.

    The handler runs in the message's context (request ID, trace, baggage) and in nothing of the reader's. A fresh
    message continues its trace; one that is redelivered or older than four minutes starts a trace of its own, linked
    to it, under the same request ID. A message without a request ID gets a new one. Never across a ``yield``.

    Args:
        event: The event's name.
        carrier: The message's fields, or an application's metadata (text or bytes; anything hostile is ignored).
        message_id: The stream entry's ID (``1712345678901-0``), from which the age is read.
        stream: The stream's name.
        redelivered: True when the application knows that this is not the first delivery.
    """

    __slots__ = ("_scope",)

    def __init__(
        self,
        event: str,
        carrier: object,
        *,
        message_id: str | bytes | None = None,
        stream: str | bytes | None = None,
        redelivered: bool = False,
    ) -> None:
        self._scope = SpanScope(None, "", SpanKind.CONSUMER, Context())
        with _HANDLE:
            self._scope = _consumer_scope(event, carrier, text(message_id), text(stream), redelivered)

    def __enter__(self) -> None:
        self._scope.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._scope.__exit__(*error)


def _consumer_scope(
    event: str, carrier: object, message_id: str | None, stream: str | None, redelivered: bool
) -> SpanScope:
    context, origin = with_request_id(extract_event(carrier), ORIGIN_EVENT)
    event = clean_text(event)
    attributes = _attributes(event, "process", "process", stream, origin)
    if message_id is not None:
        attributes[MESSAGING_MESSAGE_ID] = clean_text(message_id)
    sender = get_current_span(context).get_span_context()
    links: list[Link] = []
    if sender.is_valid and (redelivered or _is_repeated(carrier) or _is_old(message_id)):
        links.append(Link(sender))
        context = set_span_in_context(INVALID_SPAN, context)
    return SpanScope(HOP.tracer, f"process {event}", SpanKind.CONSUMER, context, attributes, links)


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
    event: str, operation: str, operation_type: str, stream: str | None, origin: Mapping[str, AttributeValue]
) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        MESSAGING_SYSTEM: "redis",
        MESSAGING_OPERATION_NAME: operation,
        MESSAGING_OPERATION_TYPE: operation_type,
        MESSAGING_DESTINATION_TEMPLATE: event,
        **origin,
    }
    if stream is not None:
        attributes[MESSAGING_DESTINATION_NAME] = clean_text(stream)
    return attributes
