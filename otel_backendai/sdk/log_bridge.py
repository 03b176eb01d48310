# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Records of ``logging`` as OpenTelemetry log records, with request ID, trace and span of the moment they were made.

Taken where a logger hands a record to its handlers, not by a handler of the root logger: Backend.AI's ``dictConfig``
removes such a handler, its own loggers do not propagate to the root, and a handler that is there before
``logging.basicConfig`` turns that call into nothing.
"""

import logging
import os
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import opentelemetry.sdk._logs
from opentelemetry import context as context_api
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.names import (
    ATTRIBUTE_REQUEST_ID,
    CODE_FUNCTION_NAME,
    LOG_REQUEST_ID,
    LOG_SPAN_ID,
    LOG_TRACE_ID,
)
from otel_backendai.patching import Hop
from otel_backendai.redaction import redact_text
from otel_backendai.sdk.fork_lock import ForkLock

HOP = Hop("log_export")

_BRIDGE = Guard("log bridge")
_FINDING = ForkLock()
# Longer than any that a person reads; a recursion's is megabytes.
_MAX_STACKTRACE = 16_384

# Both IDs of a record that was made outside of any span, or in a run that has no span yet.
_NO_SPAN = "0"
# Hexadecimal digits of an ID.
_TRACE_LENGTH, _SPAN_LENGTH = 32, 16

_minimum_level = logging.NOTSET

# Up to the 1.38 train a record is the SDK's and holds the IDs itself. Looked up here: an import that fails is tried
# again each time, under the import lock, and a fork while another thread logs would leave that lock taken in the child.
_SDKLogRecord: Any = getattr(opentelemetry.sdk._logs, "LogRecord", None)

# Attributes of every record, and those that say what the OpenTelemetry record says in its own fields. Not by
# makeLogRecord(): what an application's record factory adds is the application's to export.
_KNOWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {
    "asctime",
    "message",
    "taskName",
    LOG_REQUEST_ID,
    LOG_TRACE_ID,
    LOG_SPAN_ID,
    # Of contrib's logging instrumentor, before the 0.61 train.
    "otelTraceSampled",
    "otelServiceName",
}

# Sorted by level; numbers of the log data model.
_SEVERITIES = (
    (logging.CRITICAL, SeverityNumber.FATAL, "FATAL"),
    (logging.ERROR, SeverityNumber.ERROR, "ERROR"),
    (logging.WARNING, SeverityNumber.WARN, "WARN"),
    (logging.INFO, SeverityNumber.INFO, "INFO"),
    (logging.DEBUG, SeverityNumber.DEBUG, "DEBUG"),
)


@HOP.wraps("logging", "Logger.callHandlers")
def _wrap_call_handlers(original: Callable[..., None]) -> Callable[..., None]:
    def callHandlers(self: Any, record: logging.LogRecord) -> None:  # noqa: N802  # the name of what it replaces
        if HOP.active:
            with _BRIDGE:
                _emit(record)
        original(self, record)

    return callHandlers


def export_from(level: int) -> None:
    """Export records of ``level`` and above only (default: all that a logger lets through)."""
    global _minimum_level  # noqa: PLW0603  # one per process, set when the pipeline is made
    _minimum_level = level


def _emit(record: logging.LogRecord) -> None:
    # The exporter's own records would be exported in turn; a relayed one was exported where it was made.
    # `logging.logProcesses` may be off: then there is no telling.
    if record.levelno < _minimum_level or record.process not in (None, os.getpid()) or not is_instrumentation_enabled():
        return
    if record.name.startswith("opentelemetry."):
        return
    # Up to the 1.39 train the provider finds a logger under a lock that a child would find taken, and wait for.
    with _FINDING:
        logger = get_logger(record.name)
    logger.emit(_translate(record))


def _translate(record: logging.LogRecord) -> Any:
    number, name = next(
        ((number, name) for level, number, name in _SEVERITIES if record.levelno >= level),
        (SeverityNumber.TRACE, "TRACE"),
    )
    common: dict[str, Any] = {
        "timestamp": int(record.created * 1e9),
        "observed_timestamp": time.time_ns(),
        "severity_text": name,
        "severity_number": number,
        "body": _body(record),
        "attributes": _attributes(record),
    }
    context = _context_of(record)
    if _SDKLogRecord is None:
        return LogRecord(context=context, **common)
    span_context = get_current_span(context).get_span_context()
    return _SDKLogRecord(
        trace_id=span_context.trace_id, span_id=span_context.span_id, trace_flags=span_context.trace_flags, **common
    )


def _context_of(record: logging.LogRecord) -> Context:
    """The current context, with the span that the record itself names, if it does: its text and fields name that one.

    It differs where a record is handed on later, and in a timer's run that sleeps: what stands for its span there is
    in no trace that anybody will find.
    """
    context = context_api.get_current()
    trace, span = getattr(record, LOG_TRACE_ID, None), getattr(record, LOG_SPAN_ID, None)
    if trace == span == _NO_SPAN:
        return set_span_in_context(INVALID_SPAN, context)
    if (
        not isinstance(trace, str)
        or not isinstance(span, str)
        or (len(trace), len(span)) != (_TRACE_LENGTH, _SPAN_LENGTH)
    ):
        return context
    try:
        identifiers = int(trace, 16), int(span, 16)
    except ValueError:
        return context
    current = get_current_span(context).get_span_context()
    if identifiers == (current.trace_id, current.span_id):
        return context
    # Whether it is sampled the record does not say; who looks for it shall find it if it is.
    named = SpanContext(*identifiers, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(named), context) if named.is_valid else context


def _body(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # Arguments that do not fit, or have no text: a handler prints that complaint, and the record still happened.
        return record.msg if isinstance(record.msg, str) else type(record.msg).__qualname__


def _attributes(record: logging.LogRecord) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        name: value
        for name, value in vars(record).items()
        if name not in _KNOWN and isinstance(value, (str, bool, int, float))
    }
    attributes["code.file.path"] = record.pathname
    if record.funcName is not None:
        # A record that was put together by hand has none, of which older trains would complain by a record.
        attributes[CODE_FUNCTION_NAME] = record.funcName
    attributes["code.line.number"] = record.lineno
    value = getattr(record, LOG_REQUEST_ID, None)
    if not request_id.is_acceptable(value):
        value = request_id.read()
    if value is not None:
        attributes[ATTRIBUTE_REQUEST_ID] = value
    if record.exc_info and record.exc_info[0] is not None:
        attributes["exception.type"] = record.exc_info[0].__qualname__
        with suppress(Exception):  # an exception's own text may raise
            attributes["exception.message"] = redact_text(str(record.exc_info[1]))
        stacktrace = "".join(traceback.format_exception(*record.exc_info))
        attributes["exception.stacktrace"] = redact_text(stacktrace)[-_MAX_STACKTRACE:]
    return attributes
