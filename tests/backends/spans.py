# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Export requests for the tests, made of protobuf messages: what any SDK may send, not only Python's."""

import time
from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

MS = 1_000_000
Value = str | bool | int | float | bytes | None | Sequence["Value"] | Mapping[str, "Value"]


def span(
    name: str,
    trace_id: str,
    span_id: str,
    parent: str = "",
    *,
    start_ms: float = 0,
    duration_ms: float = 10,
    kind: int = Span.SPAN_KIND_INTERNAL,
    attributes: Mapping[str, Value] | None = None,
    events: Iterable[Span.Event] = (),
    links: Iterable[Span.Link] = (),
    status: Status | None = None,
    trace_state: str = "",
) -> Span:
    """A span that starts ``start_ms`` after :data:`BEGIN`."""
    start = BEGIN + int(start_ms * MS)
    return Span(
        trace_id=bytes.fromhex(trace_id),
        span_id=bytes.fromhex(span_id),
        parent_span_id=bytes.fromhex(parent),
        name=name,
        kind=kind,  # type: ignore[arg-type]  # an int, as on the wire: also numbers that no enumeration has
        start_time_unix_nano=start,
        end_time_unix_nano=start + int(duration_ms * MS),
        attributes=pairs(attributes or {}),
        events=events,
        links=links,
        status=status,
        trace_state=trace_state,
    )


def event(name: str, attributes: Mapping[str, Value], after_ms: float = 1) -> Span.Event:
    """An event ``after_ms`` after :data:`BEGIN`."""
    return Span.Event(name=name, time_unix_nano=BEGIN + int(after_ms * MS), attributes=pairs(attributes))


def link(trace_id: str, span_id: str, attributes: Mapping[str, Value] | None = None) -> Span.Link:
    """A link."""
    return Span.Link(
        trace_id=bytes.fromhex(trace_id), span_id=bytes.fromhex(span_id), attributes=pairs(attributes or {})
    )


def export(
    resource: Mapping[str, Value], *spans: Span, scope: InstrumentationScope | None = None
) -> ExportTraceServiceRequest:
    """The spans of one resource as an export request."""
    scoped = ScopeSpans(scope=scope, spans=spans)
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=Resource(attributes=pairs(resource)), scope_spans=[scoped])]
    )


def export_logs(resource: Mapping[str, Value], *records: LogRecord) -> ExportLogsServiceRequest:
    """The log records of one resource as an export request."""
    return ExportLogsServiceRequest(
        resource_logs=[
            ResourceLogs(resource=Resource(attributes=pairs(resource)), scope_logs=[ScopeLogs(log_records=records)])
        ]
    )


def log_record(body: Value, attributes: Mapping[str, Value] | None = None) -> LogRecord:
    """A log record at :data:`BEGIN`."""
    return LogRecord(time_unix_nano=BEGIN, body=any_value(body), attributes=pairs(attributes or {}))


def pairs(values: Mapping[str, Value]) -> list[KeyValue]:
    """Attributes."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def any_value(value: Value) -> AnyValue:
    """A value of any type."""
    if isinstance(value, Mapping):
        return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return AnyValue(array_value=ArrayValue(values=map(any_value, value)))
    fields = {bool: "bool_value", str: "string_value", int: "int_value", float: "double_value", bytes: "bytes_value"}
    return AnyValue() if value is None else AnyValue(**{fields[type(value)]: value})  # type: ignore[arg-type]


# When everything here happened: a little ago, so that searches that look back find it.
BEGIN = time.time_ns() - 60_000 * MS
