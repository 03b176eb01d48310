# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""OTLP's binary encoding, read without protobuf: no release of Backend.AI has to bring a certain version of it.

Field numbers are those of opentelemetry/proto/{common,resource,trace,logs}/v1. Unknown fields are passed over.
"""

from collections.abc import Callable, Iterator

from otel_backendai.desk.attribute_text import attribute_text
from otel_backendai.desk.model import Attributes, AttributeValue, LogLine, Span, SpanEvent, SpanLink
from otel_backendai.desk.otlp_errors import MAX_FIELDS, OtlpError, bad_request, too_many
from otel_backendai.desk.otlp_message import Budget, BudgetError, Message
from otel_backendai.desk.otlp_values import service_name, severity_name, span_kind, status_name
from otel_backendai.otlp import reader, wire
from otel_backendai.otlp.reader import fixed64_tag, length_tag, varint_tag

_TRACE_ID_BYTES = 16
_SPAN_ID_BYTES = 8
# Protobuf's parsers refuse deeper messages by default, so no sender can expect more.
_MAX_NESTING = 100


def spans_from_protobuf(body: bytes) -> list[Span]:
    """All spans of an ExportTraceServiceRequest. Raises ``OtlpError`` (400)."""
    try:
        return [_span(*found) for found in _items(body)]
    except reader.WireError as error:
        raise bad_request("the body is no ExportTraceServiceRequest") from error
    except BudgetError as error:
        raise too_many() from error


def logs_from_protobuf(body: bytes) -> list[LogLine]:
    """All records of an ExportLogsServiceRequest. Raises ``OtlpError`` (400)."""
    try:
        return [_log(*found) for found in _items(body)]
    except reader.WireError as error:
        raise bad_request("the body is no ExportLogsServiceRequest") from error
    except BudgetError as error:
        raise too_many() from error


def status_to_protobuf(error: OtlpError) -> bytes:
    """``error`` as a serialized google.rpc.Status."""
    return wire.unsigned(1, error.grpc_code) + wire.text(2, str(error))


def _items(body: bytes) -> Iterator[tuple[Message, Message, Attributes]]:
    """Spans or log records with scope and resource; the messages around them have the same fields for both."""
    for owner in Message(body, Budget(MAX_FIELDS)).messages(1):
        # One dictionary for all items of a resource: it is by far the largest part of a small span.
        resource = _attributes(owner.message(1), 1)
        for scoped in owner.messages(2):
            scope = scoped.message(1)
            for item in scoped.messages(2):
                yield item, scope, resource


def _span(span: Message, scope: Message, resource: Attributes) -> Span:
    status = span.message(15)
    return Span(
        trace_id=_identifier(span.content(1), _TRACE_ID_BYTES),
        span_id=_identifier(span.content(2), _SPAN_ID_BYTES),
        parent_span_id=_optional_identifier(span.content(4), _SPAN_ID_BYTES),
        name=span.text(5),
        kind=span_kind(span.number(6)),
        start_ns=span.fixed64(7),
        end_ns=span.fixed64(8),
        service=service_name(resource),
        status=status_name(status.number(3)),
        status_message=status.text(2),
        trace_state=span.text(3),
        scope=scope.text(1),
        scope_version=scope.text(2),
        attributes=_attributes(span, 9),
        resource=resource,
        events=tuple(SpanEvent(event.fixed64(1), event.text(2), _attributes(event, 3)) for event in span.messages(11)),
        links=tuple(
            SpanLink(
                _optional_identifier(link.content(1), _TRACE_ID_BYTES),
                _optional_identifier(link.content(2), _SPAN_ID_BYTES),
                _attributes(link, 4),
            )
            for link in span.messages(13)
        ),
    )


def _log(record: Message, scope: Message, resource: Attributes) -> LogLine:
    return LogLine(
        time_ns=record.fixed64(1) or record.fixed64(11),
        severity=severity_name(record.text(3), record.number(2)),
        body=attribute_text(_value(record.content(5), 1, record.budget)),
        service=service_name(resource),
        logger=scope.text(1),
        trace_id=_optional_identifier(record.content(9), _TRACE_ID_BYTES),
        span_id=_optional_identifier(record.content(10), _SPAN_ID_BYTES),
        attributes=_attributes(record, 6),
        resource=resource,
    )


def _attributes(owner: Message, field: int, depth: int = 1) -> dict[str, AttributeValue]:
    return {pair.text(1): _value(pair.content(2), depth, owner.budget) for pair in owner.messages(field)}


def _value(content: bytes, depth: int, budget: Budget) -> AttributeValue:
    if depth > _MAX_NESTING:
        raise bad_request(f"an attribute value is nested more than {_MAX_NESTING} levels deep")
    value: AttributeValue = None
    # Of several the last one counts.
    for tag, given in reader.read_fields(content):
        budget.spend(1)
        if tag in _NUMBERS and isinstance(given, int):
            value = _NUMBERS[tag](given)
        elif tag in _CONTENTS and isinstance(given, bytes):
            value = _CONTENTS[tag](given, depth, budget)
    return value


_NUMBERS: dict[int, Callable[[int], AttributeValue]] = {
    varint_tag(2): bool,
    varint_tag(3): reader.signed,
    fixed64_tag(4): reader.double,
}
_CONTENTS: dict[int, Callable[[bytes, int, Budget], AttributeValue]] = {
    length_tag(1): lambda content, *_: reader.text(content),
    length_tag(5): lambda content, depth, budget: [
        _value(item, depth + 1, budget) for item in Message(content, budget).contents(1)
    ],
    length_tag(6): lambda content, depth, budget: _attributes(Message(content, budget), 1, depth + 1),
    length_tag(7): lambda content, *_: content,
}


def _identifier(identifier: bytes, size: int) -> str:
    text = _optional_identifier(identifier, size)
    if not text:
        raise bad_request("a span has no trace ID or no span ID")
    return text


def _optional_identifier(identifier: bytes, size: int) -> str:
    """Lower-case hex; "" for an absent ID and for the all-zero one, which means the same."""
    if len(identifier) not in (0, size):
        raise bad_request(f"an ID is {len(identifier)} bytes long, not {size}")
    return identifier.hex() if any(identifier) else ""
