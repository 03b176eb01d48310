# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The spans of one trace that the desk keeps, and what they say together."""

from dataclasses import dataclass, field

from otel_backendai.desk.model import Span
from otel_backendai.desk.search import TraceQuery, span_matches


@dataclass(slots=True)
class KeptTrace:
    """What is kept of a trace; times are nanoseconds, ``request_ids`` and ``services`` in order of first arrival."""

    spans: dict[str, Span] = field(default_factory=dict)
    request_ids: dict[str, None] = field(default_factory=dict)
    services: dict[str, None] = field(default_factory=dict)
    start_ns: int = 0
    end_ns: int = 0
    error: bool = False
    size: int = 0

    def add(self, span: Span, size: int) -> None:
        """Keep ``span``; the requests that it names are for the caller to add.

        Args:
            span: Not kept yet.
            size: In bytes as it came.
        """
        self.start_ns = min(self.start_ns, span.start_ns) if self.spans else span.start_ns
        self.end_ns = max(self.end_ns, span.end_ns, span.start_ns)
        self.error = self.error or span.status == "error"
        self.services[span.service] = None
        self.spans[span.span_id] = span
        self.size += size

    def by_start(self) -> list[Span]:
        """The spans by start time."""
        return sorted(self.spans.values(), key=lambda span: span.start_ns)

    def matches(self, query: TraceQuery) -> bool:
        """Whether one of the spans is all that ``query`` asks for."""
        return any(span_matches(span, query) for span in self.spans.values())
