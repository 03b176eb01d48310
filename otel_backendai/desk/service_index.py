# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Which services have spans in the desk, with which operations, and in which traces."""

from collections import Counter

from otel_backendai.desk.kept_trace import KeptTrace
from otel_backendai.desk.model import Span


class ServiceIndex:
    """Follows what the store keeps and drops: a service is here as long as one of its spans is."""

    def __init__(self) -> None:
        self._operations: dict[str, Counter[tuple[str, str]]] = {}
        self._traces: dict[str, dict[str, None]] = {}

    def add(self, span: Span) -> None:
        """A span is kept."""
        self._operations.setdefault(span.service, Counter())[(span.name, span.kind)] += 1
        self._traces.setdefault(span.service, {})[span.trace_id] = None

    def drop(self, trace_id: str, trace: KeptTrace) -> None:
        """A trace is kept no longer, with all of its spans."""
        for span in trace.spans.values():
            operations = self._operations[span.service]
            operations[(span.name, span.kind)] -= 1
            if not operations[(span.name, span.kind)]:
                del operations[(span.name, span.kind)]
            if not operations:
                del self._operations[span.service]
        for service in trace.services:
            del self._traces[service][trace_id]
            if not self._traces[service]:
                del self._traces[service]

    def names(self) -> list[str]:
        """Of all services, sorted."""
        return sorted(self._operations)

    def operations(self, service: str) -> list[tuple[str, str]]:
        """The pairs (span name, span kind) of ``service``, sorted; empty for an unknown service."""
        return sorted(self._operations.get(service, ()))

    def traces(self, service: str) -> dict[str, None]:
        """IDs of the traces in which ``service`` has a span, in order of arrival."""
        return self._traces.get(service, {})
