# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""OTLP's binary encoding. Importing this module imports protobuf; only ``otlp`` does, and only when it is needed."""

from collections.abc import Iterable, Iterator

from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # googleapis-common-protos has no stubs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from otel_backendai.desk.attribute_text import attribute_text
from otel_backendai.desk.model import Attributes, AttributeValue, LogLine, Span, SpanEvent, SpanLink
from otel_backendai.desk.otlp_errors import OtlpError, bad_request
from otel_backendai.desk.otlp_values import service_name, severity_name, span_kind, status_name

_TRACE_ID_BYTES = 16
_SPAN_ID_BYTES = 8
_SCALARS = ("string_value", "bool_value", "int_value", "double_value", "bytes_value")


def spans_from_protobuf(body: bytes) -> list[Span]:
    """All spans of an ExportTraceServiceRequest. Raises ``OtlpError`` (400)."""
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise bad_request("the body is no ExportTraceServiceRequest") from error
    return list(_spans(request))


def logs_from_protobuf(body: bytes) -> list[LogLine]:
    """All records of an ExportLogsServiceRequest. Raises ``OtlpError`` (400)."""
    request = ExportLogsServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise bad_request("the body is no ExportLogsServiceRequest") from error
    return list(_logs(request))


def status_to_protobuf(error: OtlpError) -> bytes:
    """``error`` as a serialized google.rpc.Status."""
    status: bytes = Status(code=error.grpc_code, message=str(error)).SerializeToString()
    return status


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource_spans in request.resource_spans:
        # One dictionary for all spans of a resource: it is by far the largest part of a small span.
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield _span(span, scope_spans.scope, resource)


def _span(span: SpanMessage, scope: InstrumentationScope, resource: Attributes) -> Span:
    return Span(
        trace_id=_identifier(span.trace_id, _TRACE_ID_BYTES),
        span_id=_identifier(span.span_id, _SPAN_ID_BYTES),
        parent_span_id=_optional_identifier(span.parent_span_id, _SPAN_ID_BYTES),
        name=span.name,
        kind=span_kind(span.kind),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        service=service_name(resource),
        status=status_name(span.status.code),
        status_message=span.status.message,
        trace_state=span.trace_state,
        scope=scope.name,
        scope_version=scope.version,
        attributes=_attributes(span.attributes),
        resource=resource,
        events=tuple(
            SpanEvent(event.time_unix_nano, event.name, _attributes(event.attributes)) for event in span.events
        ),
        links=tuple(
            SpanLink(
                _optional_identifier(link.trace_id, _TRACE_ID_BYTES),
                _optional_identifier(link.span_id, _SPAN_ID_BYTES),
                _attributes(link.attributes),
            )
            for link in span.links
        ),
    )


def _logs(request: ExportLogsServiceRequest) -> Iterator[LogLine]:
    for resource_logs in request.resource_logs:
        resource = _attributes(resource_logs.resource.attributes)
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                yield _log(record, scope_logs.scope, resource)


def _log(record: LogRecord, scope: InstrumentationScope, resource: Attributes) -> LogLine:
    return LogLine(
        time_ns=record.time_unix_nano or record.observed_time_unix_nano,
        severity=severity_name(record.severity_text, record.severity_number),
        body=attribute_text(_value(record.body)),
        service=service_name(resource),
        logger=scope.name,
        trace_id=_optional_identifier(record.trace_id, _TRACE_ID_BYTES),
        span_id=_optional_identifier(record.span_id, _SPAN_ID_BYTES),
        attributes=_attributes(record.attributes),
        resource=resource,
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, AttributeValue]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(message: AnyValue) -> AttributeValue:
    # Nesting needs no bound of its own: protobuf's parser refuses more than 100 levels.
    kind = message.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in message.array_value.values]
    if kind == "kvlist_value":
        return _attributes(message.kvlist_value.values)
    if kind not in _SCALARS:
        return None
    scalar: AttributeValue = getattr(message, kind)
    return scalar


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
