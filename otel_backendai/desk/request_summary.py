# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A request in the list of recent ones, and which requests spans and log lines name."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from otel_backendai.desk.kept_trace import KeptTrace
from otel_backendai.desk.model import Attributes, LogLine
from otel_backendai.names import ATTRIBUTE_REQUEST_ID, LOG_REQUEST_ID

# The longest acceptable request ID. A longer value is no request ID, and must not become a key of an index.
_MAX_REQUEST_ID_LENGTH = 128


@dataclass(frozen=True, slots=True)
class RequestSummary:
    """One line of the list of recent requests; times are nanoseconds, ``services`` in order of first arrival."""

    request_id: str
    start_ns: int
    duration_ns: int
    span_count: int
    trace_count: int
    log_count: int
    services: tuple[str, ...]
    error: bool


def summary_of(request_id: str, traces: Sequence[KeptTrace], logs: Collection[LogLine]) -> RequestSummary:
    """The summary of a request.

    Args:
        request_id: Its ID.
        traces: Those that belong to it, by start time.
        logs: Those that name it; without any trace, times and services are theirs, so one of both must not be empty.
    """
    times = [trace.start_ns for trace in traces] or [log.time_ns for log in logs]
    ends = [trace.end_ns for trace in traces] or [log.time_ns for log in logs]
    named = dict.fromkeys(service for trace in traces for service in trace.services)
    return RequestSummary(
        request_id=request_id,
        start_ns=min(times),
        duration_ns=max(ends) - min(times),
        span_count=sum(len(trace.spans) for trace in traces),
        trace_count=len(traces),
        log_count=len(logs),
        services=tuple(named or dict.fromkeys(log.service for log in logs)),
        error=any(trace.error for trace in traces),
    )


def request_ids_of(log: LogLine) -> tuple[str, ...]:
    """The requests that a log line names, each once."""
    return tuple(dict.fromkeys(request_ids_in(log.attributes, ATTRIBUTE_REQUEST_ID, LOG_REQUEST_ID)))


def request_ids_in(attributes: Attributes, *keys: str) -> Iterator[str]:
    """The request IDs under ``keys``."""
    for key in keys:
        value = attributes.get(key)
        if isinstance(value, str) and 0 < len(value) <= _MAX_REQUEST_ID_LENGTH:
            yield value
