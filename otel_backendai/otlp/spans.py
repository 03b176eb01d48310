# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Finished spans as ``Span`` of opentelemetry/proto/trace/v1/trace.proto."""

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, TraceState

from otel_backendai.otlp import wire
from otel_backendai.otlp.batch import encode_all
from otel_backendai.otlp.values import attributes

_TRACE_ID, _SPAN_ID, _TRACE_STATE, _PARENT_SPAN_ID, _NAME, _KIND, _START, _END = 1, 2, 3, 4, 5, 6, 7, 8
_ATTRIBUTES, _DROPPED_ATTRIBUTES, _EVENTS, _DROPPED_EVENTS, _LINKS, _DROPPED_LINKS, _STATUS, _FLAGS = range(9, 17)

_EVENT_TIME, _EVENT_NAME, _EVENT_ATTRIBUTES, _EVENT_DROPPED_ATTRIBUTES = 1, 2, 3, 4
_LINK_TRACE_ID, _LINK_SPAN_ID, _LINK_TRACE_STATE, _LINK_ATTRIBUTES, _LINK_DROPPED_ATTRIBUTES, _LINK_FLAGS = range(1, 7)
_STATUS_MESSAGE, _STATUS_CODE = 2, 3

_KINDS = {
    SpanKind.INTERNAL: 1,
    SpanKind.SERVER: 2,
    SpanKind.CLIENT: 3,
    SpanKind.PRODUCER: 4,
    SpanKind.CONSUMER: 5,
}

# SpanFlags: whether a context is remote is known, and whether it is.
_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200


def encode_spans(spans: Sequence[ReadableSpan]) -> tuple[bytes, list[Exception]]:
    """Return an ``ExportTraceServiceRequest``, and the errors of spans that cannot be encoded."""
    return encode_all(spans, _encode)


def _encode(span: ReadableSpan) -> tuple[Any, Any, bytes]:
    return span.resource, span.instrumentation_scope, _span(span)


def _span(span: ReadableSpan) -> bytes:
    context = span.get_span_context()
    assert context is not None
    parent = span.parent
    return b"".join(
        (
            wire.message(_TRACE_ID, context.trace_id.to_bytes(16)),
            wire.message(_SPAN_ID, context.span_id.to_bytes(8)),
            wire.text(_TRACE_STATE, _trace_state(context.trace_state)),
            wire.message(_PARENT_SPAN_ID, parent.span_id.to_bytes(8)) if parent else b"",
            wire.text(_NAME, span.name),
            wire.unsigned(_KIND, _KINDS[span.kind]),
            wire.fixed64(_START, span.start_time),
            wire.fixed64(_END, span.end_time),
            attributes(_ATTRIBUTES, span.attributes),
            wire.unsigned(_DROPPED_ATTRIBUTES, span.dropped_attributes),
            b"".join([wire.message(_EVENTS, _event(event)) for event in span.events]),
            wire.unsigned(_DROPPED_EVENTS, span.dropped_events),
            b"".join([wire.message(_LINKS, _link(link)) for link in span.links]),
            wire.unsigned(_DROPPED_LINKS, span.dropped_links),
            wire.message(_STATUS, _status(span.status)),
            wire.fixed32(_FLAGS, _flags(parent)),
        )
    )


def _event(event: Event) -> bytes:
    return (
        wire.fixed64(_EVENT_TIME, event.timestamp)
        + wire.text(_EVENT_NAME, event.name)
        + attributes(_EVENT_ATTRIBUTES, event.attributes)
        + wire.unsigned(_EVENT_DROPPED_ATTRIBUTES, event.dropped_attributes)
    )


def _link(link: Link) -> bytes:
    context = link.context
    return b"".join(
        (
            wire.message(_LINK_TRACE_ID, context.trace_id.to_bytes(16)),
            wire.message(_LINK_SPAN_ID, context.span_id.to_bytes(8)),
            wire.text(_LINK_TRACE_STATE, _trace_state(context.trace_state)),
            attributes(_LINK_ATTRIBUTES, link.attributes),
            wire.unsigned(_LINK_DROPPED_ATTRIBUTES, link.dropped_attributes),
            wire.fixed32(_LINK_FLAGS, _flags(context)),
        )
    )


def _status(status: Status) -> bytes:
    return wire.text(_STATUS_MESSAGE, status.description) + wire.unsigned(_STATUS_CODE, status.status_code.value)


def _flags(parent: SpanContext | None) -> int:
    # The lowest byte is for W3C trace flags. The official encoder leaves it empty, and what is exported was sampled.
    return _HAS_IS_REMOTE | _IS_REMOTE if parent is not None and parent.is_remote else _HAS_IS_REMOTE


def _trace_state(trace_state: TraceState | None) -> str | None:
    return ",".join([f"{key}={value}" for key, value in trace_state.items()]) if trace_state else None
