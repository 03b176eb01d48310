# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The desk's memory: spans and log lines, bounded, found by trace, by request ID and by service without a scan.

Rules:

* **Bound.** At most ``max_spans`` spans and ``max_logs`` log lines, and of each ``max_bytes`` as they came. When spans
  exceed that, the trace whose first span arrived first is dropped whole; a trace that is alone in the store keeps
  what it has and refuses further spans. Log lines go one by one, the oldest arrival first, independent of their trace.
* **Once.** A span that arrives again (a retried export) is kept once; the first arrival stays.
* **Request.** A trace belongs to a request when one of its spans or log lines names the request's ID.
* **One user.** There are no locks: the desk's event loop is the only caller.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from otel_backendai.desk.kept_trace import KeptTrace
from otel_backendai.desk.model import LogLine, Span
from otel_backendai.desk.request_summary import RequestSummary, request_ids_in, request_ids_of, summary_of
from otel_backendai.desk.search import TraceQuery
from otel_backendai.desk.service_index import ServiceIndex
from otel_backendai.names import ATTRIBUTE_REQUEST_ID


@dataclass(slots=True)
class _Request:
    trace_ids: dict[str, None] = field(default_factory=dict)
    logs: deque[LogLine] = field(default_factory=deque)


class Store:
    """Spans and log lines of the recent past; see the module for its rules."""

    def __init__(self, max_spans: int = 100_000, max_logs: int = 100_000, max_bytes: int = 256 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._span_bytes = self._log_bytes = 0
        self._max_spans = max_spans
        self._max_logs = max_logs
        self._span_count = 0
        self._traces: OrderedDict[str, KeptTrace] = OrderedDict()
        self._requests: dict[str, _Request] = {}
        self._services = ServiceIndex()
        self._logs: deque[LogLine] = deque()
        self._log_sizes: deque[int] = deque()
        self._logs_of_trace: dict[str, deque[LogLine]] = {}

    @property
    def span_count(self) -> int:
        """How many spans are kept now."""
        return self._span_count

    @property
    def log_count(self) -> int:
        """How many log lines are kept now."""
        return len(self._logs)

    def add_spans(self, spans: Iterable[Span], size: int = 0) -> None:
        """Keep ``spans``; those that are already kept are passed over.

        Args:
            spans: Of any traces.
            size: Of each, in bytes as it came.
        """
        for span in spans:
            self._add_span(span, size)

    def add_logs(self, logs: Iterable[LogLine], size: int = 0) -> None:
        """Keep ``logs``. A log record has no identity of its own, so a repeated one is kept twice.

        Args:
            logs: Of any requests.
            size: Of each, in bytes as it came.
        """
        for log in logs:
            self._logs.append(log)
            self._log_sizes.append(size)
            self._log_bytes += size
            if log.trace_id:
                self._logs_of_trace.setdefault(log.trace_id, deque()).append(log)
            for request_id in request_ids_of(log):
                self._request(request_id).logs.append(log)
            while len(self._logs) > self._max_logs or (self._log_bytes > self._max_bytes and len(self._logs) > 1):
                self._drop_oldest_log()

    def services(self) -> list[str]:
        """The names of all services that have a span here, sorted."""
        return self._services.names()

    def operations(self, service: str) -> list[tuple[str, str]]:
        """The pairs (span name, span kind) of ``service``, sorted; empty for an unknown service."""
        return self._services.operations(service)

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of a trace by start time; empty when the trace is not here."""
        trace = self._traces.get(trace_id)
        return [] if trace is None else trace.by_start()

    def traces_of_request(self, request_id: str) -> list[str]:
        """IDs of the traces that belong to a request and have spans here, by start time."""
        request = self._requests.get(request_id)
        if request is None:
            return []
        trace_ids = dict.fromkeys([*request.trace_ids, *(log.trace_id for log in request.logs)])
        known = [(self._traces[trace_id].start_ns, trace_id) for trace_id in trace_ids if trace_id in self._traces]
        return [trace_id for _, trace_id in sorted(known)]

    def requests_of_trace(self, trace_id: str) -> list[str]:
        """IDs of the requests that spans or log lines of a trace name, in order of arrival."""
        trace = self._traces.get(trace_id)
        named = dict.fromkeys(trace.request_ids if trace else ())
        for log in self._logs_of_trace.get(trace_id, ()):
            named.update(dict.fromkeys(request_ids_of(log)))
        return list(named)

    def logs_of_request(self, request_id: str) -> list[LogLine]:
        """Log lines that name the request, and those of its traces that name no request at all, by time."""
        request = self._requests.get(request_id)
        if request is None:
            return []
        lines = list(request.logs)
        for trace_id in self.traces_of_request(request_id):
            lines.extend(log for log in self._logs_of_trace.get(trace_id, ()) if not request_ids_of(log))
        return sorted(lines, key=lambda log: log.time_ns)

    def logs_of_trace(self, trace_id: str) -> list[LogLine]:
        """Log lines that were made inside a trace, by time."""
        return sorted(self._logs_of_trace.get(trace_id, ()), key=lambda log: log.time_ns)

    def requests(self, limit: int) -> list[RequestSummary]:
        """The ``limit`` requests that were heard of for the first time last, the latest of them first."""
        return [self._summary(request_id) for request_id in islice(reversed(self._requests), limit)]

    def find_traces(self, query: TraceQuery) -> list[str]:
        """IDs of the traces in which one span matches all of ``query``, the latest arrivals first."""
        matching = (
            trace_id
            for trace_id in reversed(self._services.traces(query.service) if query.service else self._traces)
            if self._traces[trace_id].matches(query)
        )
        return list(islice(matching, query.limit))

    def _add_span(self, span: Span, size: int) -> None:
        trace = self._traces.get(span.trace_id)
        if trace is not None and span.span_id in trace.spans:
            return
        while self._traces and (self._span_count >= self._max_spans or self._span_bytes + size > self._max_bytes):
            oldest = next(iter(self._traces))
            if oldest == span.trace_id and len(self._traces) == 1:
                return
            self._drop_trace(oldest)
        # Looked up again: making room may have dropped the trace of this very span.
        trace = self._traces.setdefault(span.trace_id, KeptTrace())
        trace.add(span, size)
        self._span_count += 1
        self._span_bytes += size
        self._services.add(span)
        for request_id in request_ids_in(span.attributes, ATTRIBUTE_REQUEST_ID):
            trace.request_ids[request_id] = None
            self._request(request_id).trace_ids[span.trace_id] = None

    def _drop_trace(self, trace_id: str) -> None:
        trace = self._traces.pop(trace_id)
        self._span_count -= len(trace.spans)
        self._span_bytes -= trace.size
        self._services.drop(trace_id, trace)
        for request_id in trace.request_ids:
            del self._requests[request_id].trace_ids[trace_id]
            self._forget_if_empty(request_id)

    def _drop_oldest_log(self) -> None:
        # Every index keeps arrival order, so what is oldest of all is oldest in each of them.
        log = self._logs.popleft()
        self._log_bytes -= self._log_sizes.popleft()
        if log.trace_id:
            lines = self._logs_of_trace[log.trace_id]
            lines.popleft()
            if not lines:
                del self._logs_of_trace[log.trace_id]
        for request_id in request_ids_of(log):
            self._requests[request_id].logs.popleft()
            self._forget_if_empty(request_id)

    def _request(self, request_id: str) -> _Request:
        return self._requests.setdefault(request_id, _Request())

    def _forget_if_empty(self, request_id: str) -> None:
        request = self._requests[request_id]
        if not request.trace_ids and not request.logs:
            del self._requests[request_id]

    def _summary(self, request_id: str) -> RequestSummary:
        traces = [self._traces[trace_id] for trace_id in self.traces_of_request(request_id)]
        return summary_of(request_id, traces, self._requests[request_id].logs)
