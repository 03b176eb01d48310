# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What a search for traces asks of one span. The rules are those of Jaeger's own in-memory storage."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from otel_backendai.desk.attribute_text import attribute_text
from otel_backendai.desk.model import Span

_ERROR_TAG = "error"


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """All of it must hold for one and the same span.

    Empty text, an empty mapping and ``None`` ask for nothing; times are nanoseconds and inclusive. The tag ``error``
    asks for the status of the span, every other tag for an attribute of the span, its resource or one of its events.
    """

    service: str = ""
    operation: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    start_ns: int | None = None
    end_ns: int | None = None
    min_duration_ns: int | None = None
    max_duration_ns: int | None = None
    limit: int = 100


def span_matches(span: Span, query: TraceQuery) -> bool:
    """Whether ``span`` is what ``query`` asks for."""
    if query.service and span.service != query.service:
        return False
    if query.operation and span.name != query.operation:
        return False
    if not _within(span.start_ns, query.start_ns, query.end_ns):
        return False
    if not _within(span.end_ns - span.start_ns, query.min_duration_ns, query.max_duration_ns):
        return False
    return all(_has_tag(span, key, value) for key, value in query.tags.items())


def _within(value: int, least: int | None, most: int | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def _has_tag(span: Span, key: str, value: str) -> bool:
    if key == _ERROR_TAG:
        return (span.status == "error") == (value == "true")
    places = (span.attributes, span.resource, *(event.attributes for event in span.events))
    return any(key in place and attribute_text(place[key]) == value for place in places)
