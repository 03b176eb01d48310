# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A request in the list of recent ones, and which requests spans and log lines name."""

from collections.abc import Iterator
from dataclasses import dataclass

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


def request_ids_of(log: LogLine) -> tuple[str, ...]:
    """The requests that a log line names, each once."""
    return tuple(dict.fromkeys(request_ids_in(log.attributes, ATTRIBUTE_REQUEST_ID, LOG_REQUEST_ID)))


def request_ids_in(attributes: Attributes, *keys: str) -> Iterator[str]:
    """The request IDs under ``keys``."""
    for key in keys:
        value = attributes.get(key)
        if isinstance(value, str) and 0 < len(value) <= _MAX_REQUEST_ID_LENGTH:
            yield value
