# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Spans in Jaeger's JSON model, translated as Jaeger v2 translates OTLP.

Sources, of which the order of tags and the words are taken: ``pkg/translator/jaeger/traces_to_jaegerproto.go`` of the
Collector's contrib repository, and in Jaeger ``internal/uimodel/converter/v1/json`` and the adjusters of its query
service (attributes sorted by key, events by name).
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite

from otel_backendai.desk.attribute_text import MAX_SAFE_INTEGER, attribute_text
from otel_backendai.desk.jaeger_warnings import trace_warnings
from otel_backendai.desk.model import Attributes, AttributeValue, Span, SpanEvent

JSONValue = str | int | float | bool | None | Sequence["JSONValue"] | Mapping[str, "JSONValue"]
JSONObject = dict[str, JSONValue]

_STATUS_TAGS = {"ok": "OK", "error": "ERROR"}
_REF_TYPE = "opentracing.ref_type"


def jaeger_trace(spans: Sequence[Span]) -> JSONObject:
    """One trace in Jaeger's JSON model. ``spans`` are all of one trace, at least one."""
    warnings = trace_warnings(spans)
    processes: dict[str, JSONObject] = {}
    keys: dict[str, str] = {}
    converted: list[JSONValue] = []
    for span in spans:
        process = _process(span)
        key = keys.setdefault(repr(process), f"p{len(keys) + 1}")
        processes[key] = process
        converted.append(_span(span, key, warnings.get(span.span_id)))
    return {
        "traceID": jaeger_trace_id(spans[0].trace_id),
        "spans": converted,
        "processes": processes,
        "warnings": None,
    }


def jaeger_trace_id(trace_id: str) -> str:
    """The ID as Jaeger prints it: 16 digits when the upper half is zero."""
    return trace_id.removeprefix("0" * 16)


def _span(span: Span, process_id: str, warnings: list[str] | None) -> JSONObject:
    return {
        "traceID": jaeger_trace_id(span.trace_id),
        "spanID": span.span_id,
        "operationName": span.name,
        "references": _references(span),
        "startTime": span.start_ns // 1000,
        "duration": max(0, span.end_ns - span.start_ns) // 1000,
        "tags": _span_tags(span),
        "logs": [_log(event) for event in sorted(span.events, key=lambda event: event.name)],
        "processID": process_id,
        "warnings": list(warnings) if warnings else None,
    }


def _references(span: Span) -> list[JSONValue]:
    parent = (span.trace_id, span.parent_span_id) if span.parent_span_id else None
    parent_type = "CHILD_OF"
    references: list[JSONValue] = []
    for link in span.links:
        if (link.trace_id, link.span_id) == parent:
            # A link to the parent is no second reference, it only says of which type the first one is.
            parent_type = _reference_type(link.attributes)
        elif link.trace_id:
            references.append(_reference(_reference_type(link.attributes), link.trace_id, link.span_id))
    return [_reference(parent_type, *parent), *references] if parent else references


def _reference(kind: str, trace_id: str, span_id: str) -> JSONObject:
    return {"refType": kind, "traceID": jaeger_trace_id(trace_id), "spanID": span_id or "0" * 16}


def _reference_type(attributes: Attributes) -> str:
    return "CHILD_OF" if attributes.get(_REF_TYPE) == "child_of" else "FOLLOWS_FROM"


def _span_tags(span: Span) -> list[JSONValue]:
    tags: list[JSONValue] = []
    tags += _text_tags({"otel.scope.name": span.scope, "otel.scope.version": span.scope_version})
    tags += _tags(span.attributes)
    tags += _text_tags({"span.kind": span.kind, "otel.status_code": _STATUS_TAGS.get(span.status, "")})
    if span.status == "error":
        tags.append({"key": "error", "type": "bool", "value": True})
    tags += _text_tags({"otel.status_description": span.status_message, "w3c.tracestate": span.trace_state})
    return tags


def _log(event: SpanEvent) -> JSONObject:
    name = {} if "event" in event.attributes else {"event": event.name}
    return {"timestamp": event.time_ns // 1000, "fields": _text_tags(name) + _tags(event.attributes)}


def _process(span: Span) -> JSONObject:
    tags = {key: value for key, value in span.resource.items() if key != "service.name"}
    return {"serviceName": span.service, "tags": _tags(tags)}


def _text_tags(texts: Mapping[str, str]) -> list[JSONValue]:
    return [{"key": key, "type": "string", "value": text} for key, text in texts.items() if text]


def _tags(attributes: Attributes) -> list[JSONValue]:
    return list(_sorted_tags(attributes))


def _sorted_tags(attributes: Attributes) -> Iterable[JSONObject]:
    for key in sorted(attributes):
        kind, value = _typed(attributes[key])
        yield {"key": key, "type": kind, "value": value}


def _typed(value: AttributeValue) -> tuple[str, JSONValue]:
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, int):
        return "int64", value if abs(value) <= MAX_SAFE_INTEGER else str(value)
    if isinstance(value, float):
        # JSON has no words for these; the real Jaeger fails to answer at all.
        return "float64", value if isfinite(value) else attribute_text(value)
    if isinstance(value, bytes):
        return "binary", attribute_text(value)
    return "string", attribute_text(value)
