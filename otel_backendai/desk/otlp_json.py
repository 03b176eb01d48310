# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""OTLP's JSON encoding: hex IDs, 64-bit integers as text or number, camelCase names, unknown fields ignored.

The differences from protobuf's own JSON mapping: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping

from otel_backendai.desk.attribute_text import attribute_text
from otel_backendai.desk.model import Attributes, AttributeValue, LogLine, Span, SpanEvent, SpanLink
from otel_backendai.desk.otlp_errors import MAX_FIELDS, bad_request, too_many
from otel_backendai.desk.otlp_values import service_name, severity_name, span_kind, status_name

_TRACE_ID_DIGITS = 32
_SPAN_ID_DIGITS = 16
_HEX = re.compile(r"[0-9a-f]*")
# Protobuf's parsers refuse deeper messages by default, so no sender can expect more.
_MAX_NESTING = 100
_FLOAT_WORDS = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}

_Object = Mapping[str, object]


def spans_from_json(body: bytes) -> list[Span]:
    """All spans of an ExportTraceServiceRequest. Raises ``OtlpError`` (400)."""
    return list(_spans(_parse(body)))


def logs_from_json(body: bytes) -> list[LogLine]:
    """All records of an ExportLogsServiceRequest. Raises ``OtlpError`` (400)."""
    return list(_logs(_parse(body)))


def _parse(body: bytes) -> _Object:
    if sum(map(body.count, (b",", b"{", b"["))) > MAX_FIELDS:
        raise too_many()
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad_request("the body is no JSON") from error
    if not isinstance(request, dict):
        raise bad_request("the body is no JSON object")
    return request


def _spans(request: _Object) -> Iterator[Span]:
    for resource_spans in _objects(request, "resourceSpans"):
        # One dictionary for all spans of a resource: it is by far the largest part of a small span.
        resource = _attributes(_object(resource_spans, "resource"))
        for scope_spans in _objects(resource_spans, "scopeSpans"):
            for span in _objects(scope_spans, "spans"):
                yield _span(span, _object(scope_spans, "scope"), resource)


def _span(span: _Object, scope: _Object, resource: Attributes) -> Span:
    trace_id = _identifier(span, "traceId", _TRACE_ID_DIGITS)
    span_id = _identifier(span, "spanId", _SPAN_ID_DIGITS)
    if not trace_id or not span_id:
        raise bad_request("a span has no trace ID or no span ID")
    status = _object(span, "status")
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=_identifier(span, "parentSpanId", _SPAN_ID_DIGITS),
        name=_text(span, "name"),
        kind=span_kind(_integer(span.get("kind"))),
        start_ns=_integer(span.get("startTimeUnixNano")),
        end_ns=_integer(span.get("endTimeUnixNano")),
        service=service_name(resource),
        status=status_name(_integer(status.get("code"))),
        status_message=_text(status, "message"),
        trace_state=_text(span, "traceState"),
        scope=_text(scope, "name"),
        scope_version=_text(scope, "version"),
        attributes=_attributes(span),
        resource=resource,
        events=tuple(
            SpanEvent(_integer(event.get("timeUnixNano")), _text(event, "name"), _attributes(event))
            for event in _objects(span, "events")
        ),
        links=tuple(
            SpanLink(
                _identifier(link, "traceId", _TRACE_ID_DIGITS),
                _identifier(link, "spanId", _SPAN_ID_DIGITS),
                _attributes(link),
            )
            for link in _objects(span, "links")
        ),
    )


def _logs(request: _Object) -> Iterator[LogLine]:
    for resource_logs in _objects(request, "resourceLogs"):
        resource = _attributes(_object(resource_logs, "resource"))
        for scope_logs in _objects(resource_logs, "scopeLogs"):
            for record in _objects(scope_logs, "logRecords"):
                yield _log(record, _object(scope_logs, "scope"), resource)


def _log(record: _Object, scope: _Object, resource: Attributes) -> LogLine:
    return LogLine(
        time_ns=_integer(record.get("timeUnixNano")) or _integer(record.get("observedTimeUnixNano")),
        severity=severity_name(_text(record, "severityText"), _integer(record.get("severityNumber"))),
        body=attribute_text(_value(_object(record, "body"), 1)),
        service=service_name(resource),
        logger=_text(scope, "name"),
        trace_id=_identifier(record, "traceId", _TRACE_ID_DIGITS),
        span_id=_identifier(record, "spanId", _SPAN_ID_DIGITS),
        attributes=_attributes(record),
        resource=resource,
    )


def _attributes(owner: _Object, field: str = "attributes", depth: int = 1) -> dict[str, AttributeValue]:
    return {_text(pair, "key"): _value(_object(pair, "value"), depth) for pair in _objects(owner, field)}


def _value(message: _Object, depth: int) -> AttributeValue:
    if depth > _MAX_NESTING:
        raise bad_request(f"an attribute value is nested more than {_MAX_NESTING} levels deep")
    for field, read in _VALUE_READERS.items():
        if field in message:
            return read(message, depth)
    return None


def _list(message: _Object, depth: int) -> AttributeValue:
    return [_value(item, depth + 1) for item in _objects(_object(message, "arrayValue"), "values")]


_VALUE_READERS: Mapping[str, Callable[[_Object, int], AttributeValue]] = {
    "stringValue": lambda message, _: _text(message, "stringValue"),
    "boolValue": lambda message, _: message["boolValue"] is True,
    "intValue": lambda message, _: _integer(message["intValue"]),
    "doubleValue": lambda message, _: _double(message["doubleValue"]),
    "bytesValue": lambda message, _: _bytes(message["bytesValue"]),
    "arrayValue": _list,
    "kvlistValue": lambda message, depth: _attributes(_object(message, "kvlistValue"), "values", depth + 1),
}


def _objects(owner: _Object, field: str) -> list[_Object]:
    value = owner.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise bad_request(f"{field} is no list of objects")
    return value


def _object(owner: _Object, field: str) -> _Object:
    value = owner.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_request(f"{field} is no object")
    return value


def _text(owner: _Object, field: str) -> str:
    value = owner.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise bad_request(f"{field} is no string")
    return value


def _integer(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, str) and len(value) <= 20 and re.fullmatch(r"-?[0-9]+", value, re.ASCII):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**64:
        raise bad_request("a number is no 64-bit integer")
    return value


def _double(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise bad_request("doubleValue is no number")
    try:
        return float(_FLOAT_WORDS.get(value, value) if isinstance(value, str) else value)
    except (ValueError, OverflowError) as error:
        raise bad_request("doubleValue is no number") from error


def _bytes(value: object) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_request("bytesValue is no base64") from error


def _identifier(owner: _Object, field: str, digits: int) -> str:
    """Lower-case hex; "" for an absent ID and for the all-zero one, which means the same."""
    text = _text(owner, field).lower()
    if len(text) not in (0, digits) or not _HEX.fullmatch(text):
        raise bad_request(f"{field} is not {digits} hex digits")
    return text if text.strip("0") else ""
