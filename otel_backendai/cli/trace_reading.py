# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The answers of the desk and of Jaeger as spans and log lines of the desk's model."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from otel_backendai.cli.trace_source import SourceError
from otel_backendai.desk.model import LogLine, Span, SpanEvent, SpanLink

JSON = Mapping[str, Any]
# Equal resources as one object, by their text: ten thousand spans come from a handful of processes.
Resources = dict[str, dict[str, Any]]

_STATUSES = {"OK": "ok", "ERROR": "error"}


@contextmanager
def reading(endpoint: str, kind: str) -> Iterator[None]:
    """Say that the endpoint is not of the kind when its answer has not the form. Raises :class:`SourceError`."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(f"{endpoint} is no source of traces: it does not answer as {kind} does") from error


def read_desk_span(span: JSON, resources: Resources) -> Span:
    """A span of the desk's own API. Raises ``KeyError``, ``TypeError`` and the like for what is none."""
    return Span(
        trace_id=_text(span["trace_id"]),
        span_id=_text(span["span_id"]),
        parent_span_id=_text(span["parent_span_id"]),
        name=_text(span["name"]),
        kind=_text(span["kind"]),
        start_ns=_number(span["start_ns"]),
        end_ns=_number(span["end_ns"]),
        service=_text(span["service"]),
        status=_text(span["status"]),
        status_message=_text(span["status_message"]),
        trace_state=_text(span["trace_state"]),
        scope=_text(span["scope"]),
        scope_version=_text(span["scope_version"]),
        attributes=_map(span["attributes"]),
        resource=_shared(_map(span["resource"]), resources),
        events=tuple(
            SpanEvent(_number(event["time_ns"]), _text(event["name"]), _map(event["attributes"]))
            for event in span["events"]
        ),
        links=tuple(
            SpanLink(_text(link["trace_id"]), _text(link["span_id"]), _map(link["attributes"]))
            for link in span["links"]
        ),
    )


def read_desk_log(line: JSON, resources: Resources) -> LogLine:
    """A log line of the desk's own API; raises as :func:`read_desk_span`."""
    return LogLine(
        time_ns=_number(line["time_ns"]),
        severity=_text(line["severity"]),
        body=_text(line["body"]),
        service=_text(line["service"]),
        logger=_text(line["logger"]),
        trace_id=_text(line["trace_id"]),
        span_id=_text(line["span_id"]),
        attributes=_map(line["attributes"]),
        resource=_shared(_map(line["resource"]), resources),
    )


def read_jaeger_trace(trace: JSON) -> list[Span]:
    """The spans of a trace in Jaeger's JSON model; raises as :func:`read_desk_span`."""
    processes = {
        key: (
            _text(process["serviceName"]),
            {"service.name": process["serviceName"], **_tags(process.get("tags") or ())},
        )
        for key, process in trace["processes"].items()
    }
    return [_jaeger_span(span, *processes[span["processID"]]) for span in trace["spans"]]


def _jaeger_span(span: JSON, service: str, resource: dict[str, Any]) -> Span:
    tags = _tags(span["tags"] or ())
    trace_id = _trace_id(span["traceID"])
    references = [_reference(reference) for reference in span["references"] or ()]
    # Jaeger writes the parent first, whichever type the reference has.
    parent = references.pop(0).span_id if references and references[0].trace_id == trace_id else ""
    start_ns = _number(span["startTime"]) * 1000
    status = _STATUSES.get(str(tags.pop("otel.status_code", "")), "unset")
    if status == "error":
        # Jaeger's own way to say the same. Without a status it is an attribute of the application.
        tags.pop("error", None)
    return Span(
        trace_id=trace_id,
        span_id=_text(span["spanID"]),
        parent_span_id=parent,
        name=_text(span["operationName"]),
        kind=str(tags.pop("span.kind", "")),
        start_ns=start_ns,
        end_ns=start_ns + _number(span["duration"]) * 1000,
        service=service,
        status=status,
        status_message=str(tags.pop("otel.status_description", "")),
        trace_state=str(tags.pop("w3c.tracestate", "")),
        scope=str(tags.pop("otel.scope.name", "")),
        scope_version=str(tags.pop("otel.scope.version", "")),
        attributes=tags,
        resource=resource,
        events=tuple(_event(log) for log in span["logs"] or ()),
        links=tuple(references),
    )


def _reference(reference: JSON) -> SpanLink:
    return SpanLink(_trace_id(reference["traceID"]), _text(reference["spanID"]))


def _event(log: JSON) -> SpanEvent:
    fields = _tags(log["fields"])
    return SpanEvent(_number(log["timestamp"]) * 1000, str(fields.pop("event", "")), fields)


def _tags(tags: Any) -> dict[str, Any]:
    return {_text(tag["key"]): _tag_value(tag) for tag in tags}


def _tag_value(tag: JSON) -> Any:
    value = tag["value"]
    # Integers that a browser cannot hold come as text.
    return int(value) if tag.get("type") == "int64" and isinstance(value, str) else value


def _trace_id(text: Any) -> str:
    return _text(text).zfill(32)


def _shared(resource: dict[str, Any], resources: Resources) -> dict[str, Any]:
    return resources.setdefault(repr(resource), resource)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text was expected")
    return value


def _number(value: Any) -> int:
    # Times of 64 bits, beyond which floating point numbers would fail.
    if not isinstance(value, int) or abs(value) >= 2**64:
        raise TypeError("an integer was expected")
    return value


def _map(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("an object was expected")
    return value
