# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the desk keeps of a span and of a log record, independent of the encoding in which it arrived."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

AttributeValue = str | bool | int | float | bytes | Sequence["AttributeValue"] | Mapping[str, "AttributeValue"] | None
Attributes = Mapping[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """A span event; ``time_ns`` is nanoseconds since the epoch."""

    time_ns: int
    name: str
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpanLink:
    """A link to another span; IDs are lower-case hex."""

    trace_id: str
    span_id: str
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """A finished span. IDs are lower-case hex, ``parent_span_id`` is "" for a root, times are nanoseconds.

    ``kind`` is one of ``internal server client producer consumer`` ("" when unspecified), ``status`` one of
    ``unset ok error``.
    """

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    service: str
    status: str = "unset"
    status_message: str = ""
    trace_state: str = ""
    scope: str = ""
    scope_version: str = ""
    attributes: Attributes = field(default_factory=dict)
    resource: Attributes = field(default_factory=dict)
    events: Sequence[SpanEvent] = ()
    links: Sequence[SpanLink] = ()


@dataclass(frozen=True, slots=True)
class LogLine:
    """A log record. ``trace_id`` and ``span_id`` are "" when the record was made outside a span."""

    time_ns: int
    severity: str
    body: str
    service: str
    logger: str = ""
    trace_id: str = ""
    span_id: str = ""
    attributes: Attributes = field(default_factory=dict)
    resource: Attributes = field(default_factory=dict)
