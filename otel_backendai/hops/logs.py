# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Log records: every record that is made while a request ID is bound carries it, and its trace and span ID.

By a filter that runs where a logger hands a record on, not by a record factory: Backend.AI passes ``request_id`` in
``extra``, and a factory that sets it too makes the log call itself raise ``KeyError``. A record keeps its attributes
through a queue, and one that was made in another process (a relay) is left as it came.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.trace import format_span_id, format_trace_id

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops.quiet_span import span_to_name
from otel_backendai.names import LOG_REQUEST_ID, LOG_SPAN_ID, LOG_TRACE_ID
from otel_backendai.patching import Hop

HOP = Hop("logs")

_STAMP = Guard("logs: stamp")

# What OpenTelemetry's own logging instrumentation writes outside of a span.
NO_SPAN = "0"


class RequestIdFilter(logging.Filter):
    """Adds ``request_id``, ``otelTraceID`` and ``otelSpanID`` to a record, each only if it has none; drops nothing.

    Without a request the first is ``None`` and the others ``"0"``, so that a format string may name them. While the
    ``backendai_logs`` instrumentor is active every record gets them; the class is public for handlers that see
    records of other origin.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete ``record`` from the current context; a record of another process is left as it came."""
        with _STAMP:
            if record.process in (None, os.getpid()):
                _stamp(record)
        return True


def _stamp(record: logging.LogRecord) -> None:
    attributes = record.__dict__
    # None counts as absent (Backend.AI passes `request_id=None` in `extra`), unless we have written it: a record that
    # was made outside of any request and is handed on inside one (a relay) stays without.
    stamped = LOG_TRACE_ID in attributes and LOG_SPAN_ID in attributes
    if LOG_REQUEST_ID not in attributes or (attributes[LOG_REQUEST_ID] is None and not stamped):
        attributes[LOG_REQUEST_ID] = request_id.read()
    if stamped:
        return
    # Not what stands for the span of a run that has found nothing to do yet: it is in no trace that anybody will find.
    span_context = span_to_name(context_api.get_current()).get_span_context()
    valid = span_context.is_valid
    attributes.setdefault(LOG_TRACE_ID, format_trace_id(span_context.trace_id) if valid else NO_SPAN)
    attributes.setdefault(LOG_SPAN_ID, format_span_id(span_context.span_id) if valid else NO_SPAN)


_FILTER = RequestIdFilter()


@HOP.wraps("logging", "Logger.handle")
def _wrap_handle(original: Callable[..., None]) -> Callable[..., None]:
    def handle(self: Any, record: logging.LogRecord) -> None:
        if HOP.active:
            _FILTER.filter(record)
        original(self, record)

    return handle
