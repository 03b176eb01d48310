# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Spans in Jaeger's JSON model, translated as Jaeger v2 translates OTLP.

Sources, of which the order of tags and the words are taken: ``pkg/translator/jaeger/traces_to_jaegerproto.go`` of the
Collector's contrib repository, and in Jaeger ``internal/uimodel/converter/v1/json`` and the adjusters of its query
service (tags sorted by key, an event's name before its other fields). ``make test-backends`` compares with a real one.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite

from otel_backendai.desk.attribute_text import MAX_SAFE_INTEGER, attribute_text
from otel_backendai.desk.jaeger_references import references
from otel_backendai.desk.jaeger_warnings import trace_warnings
from otel_backendai.desk.model import Attributes, AttributeValue, Span, SpanEvent

JSONValue = str | int | float | bool | None | Sequence["JSONValue"] | Mapping[str, "JSONValue"]
JSONObject = dict[str, JSONValue]

_STATUS_TAGS = {"ok": "OK", "error": "ERROR"}


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
        "logs": [_log(event) for event in span.events],
        "processID": process_id,
        "warnings": list(warnings) if warnings else None,
    }


def _references(span: Span) -> list[JSONValue]:
    return [
        {"refType": kind, "traceID": jaeger_trace_id(trace_id), "spanID": span_id or "0" * 16}
        for kind, trace_id, span_id in references(span)
        if trace_id
    ]


def _span_tags(span: Span) -> list[JSONValue]:
    tags = [
        *_tags(span.attributes),
        *_text_tags({"otel.scope.name": span.scope, "otel.scope.version": span.scope_version}),
        *_text_tags({"span.kind": span.kind, "otel.status_code": _STATUS_TAGS.get(span.status, "")}),
        *_text_tags({"otel.status_description": span.status_message, "w3c.tracestate": span.trace_state}),
    ]
    if span.status == "error":
        tags.append({"key": "error", "type": "bool", "value": True})
    return list(_sorted(tags))


def _log(event: SpanEvent) -> JSONObject:
    name = {} if "event" in event.attributes else {"event": event.name}
    fields = _sorted([*_text_tags(name), *_tags(event.attributes)])
    # The name leads; a field "event" of another type is a field like any other.
    ordered = sorted(fields, key=lambda field: (field["key"], field["type"]) != ("event", "string"))
    return {"timestamp": event.time_ns // 1000, "fields": ordered}


def _process(span: Span) -> JSONObject:
    tags = {key: value for key, value in span.resource.items() if key != "service.name"}
    return {"serviceName": span.service, "tags": list(_sorted(_tags(tags)))}


def _text_tags(texts: Mapping[str, str]) -> list[JSONObject]:
    return [{"key": key, "type": "string", "value": text} for key, text in texts.items() if text]


def _tags(attributes: Attributes) -> list[JSONObject]:
    typed = ((key, *_typed(value)) for key, value in attributes.items())
    return [{"key": key, "type": kind, "value": value} for key, kind, value in typed]


def _sorted(tags: Iterable[JSONObject]) -> list[JSONObject]:
    return sorted(tags, key=lambda tag: str(tag["key"]))


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
