# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Log records as ``LogRecord`` of opentelemetry/proto/logs/v1/logs.proto.

The SDK's classes differ: a ``LogData`` whose record holds the resource up to the 1.38 train, a ``ReadableLogRecord``
that holds it itself from 1.39 on.
"""

from collections.abc import Sequence
from typing import Any

from otel_backendai.otlp import wire
from otel_backendai.otlp.batch import encode_all
from otel_backendai.otlp.values import any_value, attributes

_TIME, _SEVERITY_NUMBER, _SEVERITY_TEXT, _BODY, _ATTRIBUTES, _DROPPED_ATTRIBUTES = 1, 2, 3, 5, 6, 7
_FLAGS, _TRACE_ID, _SPAN_ID, _OBSERVED_TIME, _EVENT_NAME = 8, 9, 10, 11, 12


def encode_logs(logs: Sequence[Any]) -> tuple[bytes, list[Exception]]:
    """Return an ``ExportLogsServiceRequest``, and the errors of records that cannot be encoded."""
    return encode_all(logs, _encode)


def _encode(log: Any) -> tuple[Any, Any, bytes]:
    record = log.log_record
    owner = log if hasattr(log, "resource") else record
    return owner.resource, log.instrumentation_scope, _record(record, _dropped_attributes(log, record))


def _dropped_attributes(log: Any, record: Any) -> int:
    dropped: int = (log if hasattr(log, "dropped_attributes") else record).dropped_attributes
    return dropped


def _record(record: Any, dropped_attributes: int) -> bytes:
    return b"".join(
        (
            wire.fixed64(_TIME, record.timestamp),
            wire.unsigned(_SEVERITY_NUMBER, getattr(record.severity_number, "value", None)),
            wire.text(_SEVERITY_TEXT, record.severity_text),
            wire.message(_BODY, any_value(record.body)),
            attributes(_ATTRIBUTES, record.attributes),
            wire.unsigned(_DROPPED_ATTRIBUTES, dropped_attributes),
            wire.fixed32(_FLAGS, record.trace_flags),
            wire.message(_TRACE_ID, record.trace_id.to_bytes(16)) if record.trace_id else b"",
            wire.message(_SPAN_ID, record.span_id.to_bytes(8)) if record.span_id else b"",
            wire.fixed64(_OBSERVED_TIME, record.observed_timestamp),
            wire.text(_EVENT_NAME, getattr(record, "event_name", None)),
        )
    )
