# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The exporting processors: they hand finished spans and log records to a queue and do nothing else."""

import copy
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import opentelemetry.sdk._logs
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otel_backendai.guard import Guard
from otel_backendai.sdk.export_queue import ExportQueue
from otel_backendai.sdk.process_exporter import Exporter

_logger = logging.getLogger(__name__)
_SPAN = Guard("span export")
_LOG = Guard("log export")


# From the 1.39 train on exporters are given this, and processors something else.
_ReadableLogRecord: Any = getattr(opentelemetry.sdk._logs, "ReadableLogRecord", None)

# Of items, and of milliseconds: what is beyond that is a mistake, and some of it no lock or queue takes.
_LARGEST = 100_000_000


def _number(name: str, default: float) -> float:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    with suppress(ValueError):
        value = float(text)
        if 0 < value <= _LARGEST:
            return value
    _logger.warning("%s is no number above 0 and up to %d; %d is used", name, _LARGEST, default)
    return default


def make_queue(prefix: str, name: str, make_exporter: Callable[[], Exporter], delay: float) -> ExportQueue[Any]:
    """Return a queue with the sizes of the specification's settings.

    Args:
        prefix: ``OTEL_BSP`` or ``OTEL_BLRP``.
        name: The thread's name.
        make_exporter: See :class:`ExportQueue`.
        delay: Default of ``SCHEDULE_DELAY`` in milliseconds.
    """
    return ExportQueue(
        name,
        make_exporter,
        max_size=int(_number(f"{prefix}_MAX_QUEUE_SIZE", 2048)),
        max_batch=int(_number(f"{prefix}_MAX_EXPORT_BATCH_SIZE", 512)),
        delay=_number(f"{prefix}_SCHEDULE_DELAY", delay) / 1000,
    )


class QueueSpanProcessor(SpanProcessor):
    """Queues every sampled span at its end."""

    def __init__(self, queue: ExportQueue[ReadableSpan]) -> None:
        self._queue = queue

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue ``span`` if it is sampled."""
        with _SPAN:
            if span.context is not None and span.context.trace_flags.sampled:
                self._queue.put(span)

    def shutdown(self) -> None:
        """Send what is queued; waits 5 s at the most."""
        self.force_flush(5_000)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is queued and return whether all of it went out in time."""
        return self._queue.flush(timeout_millis / 1000)


class QueueLogRecordProcessor(LogRecordProcessor):
    """Queues every log record; ``emit`` is the method's name up to the 1.38 train, ``on_emit`` from 1.39 on."""

    def __init__(self, queue: ExportQueue[Any]) -> None:
        self._queue = queue

    def on_emit(self, log_record: Any) -> None:
        """Queue ``log_record``, as exporters want it."""
        with _LOG:
            self._queue.put(log_record if _ReadableLogRecord is None else _readable(log_record))

    emit = on_emit

    def shutdown(self) -> None:
        """Send what is queued; waits 5 s at the most."""
        self.force_flush(5_000)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is queued and return whether all of it went out in time."""
        return self._queue.flush(timeout_millis / 1000)


def _readable(record: Any) -> Any:
    # As the SDK's own processors do: without the context, which would be kept as long as the record is queued.
    own = copy.copy(record.log_record)
    own.context = Context()
    return _ReadableLogRecord(
        log_record=own,
        resource=record.resource,
        instrumentation_scope=record.instrumentation_scope,
        limits=record.limits,
    )
