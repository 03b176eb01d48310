# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Log records as the SDK of any train hands them to an exporter."""

from typing import Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk import _logs as sdk_logs
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

# Up to the 1.38 train the record is the SDK's and holds the resource.
OLD_RECORDS = hasattr(sdk_logs, "LogRecord")


def log_record(
    *,
    trace_id: int = 0,
    span_id: int = 0,
    sampled: bool = False,
    resource: Resource | None = None,
    scope: InstrumentationScope | None = None,
    severity: SeverityNumber | None = SeverityNumber.INFO,
    event_name: str | None = None,
    **fields: Any,
) -> Any:
    """A finished record.

    Args:
        event_name: For trains that know it.
        fields: ``timestamp``, ``observed_timestamp``, ``severity_text``, ``body`` and ``attributes``.
    """
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    resource = resource or Resource({})
    if OLD_RECORDS:
        record = sdk_logs.LogRecord(  # type: ignore[attr-defined]  # of the older trains
            trace_id=trace_id,
            span_id=span_id,
            trace_flags=flags,
            severity_number=severity,
            resource=resource,
            **fields,
        )
        return sdk_logs.LogData(record, scope)  # type: ignore[attr-defined]  # of the older trains
    from opentelemetry._logs import LogRecord

    span = NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=False, trace_flags=flags))
    record = LogRecord(
        context=set_span_in_context(span, Context()), severity_number=severity, event_name=event_name, **fields
    )
    return sdk_logs.ReadableLogRecord(record, resource, scope)
