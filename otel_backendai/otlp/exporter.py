# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The exporters that an SDK, ours or any other set-up, is given: entry points ``backendai_otlp``."""

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

try:
    from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
except ImportError:
    # Their names up to the 1.38 train.
    from opentelemetry.sdk._logs.export import LogExporter as LogRecordExporter
    from opentelemetry.sdk._logs.export import LogExportResult as LogRecordExportResult  # type: ignore[assignment]  # another class

from otel_backendai.otlp.delivery import Delivery
from otel_backendai.otlp.logs import encode_logs
from otel_backendai.otlp.reporting import FailureLog
from otel_backendai.otlp.settings import Settings, read_settings
from otel_backendai.otlp.spans import encode_spans


class OtlpSpanExporter(SpanExporter):
    """Exports spans by OTLP over HTTP.

    Args:
        settings: Where to and how; ``None`` for those of the environment.

    Raises:
        ValueError, OSError: See :class:`Delivery`.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._sender = _Sender(settings or read_settings("traces"), "spans")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send ``spans``; takes as long as the time-out at the most, and raises nothing."""
        delivered = self._sender.send(*encode_spans(spans), len(spans))
        return SpanExportResult.SUCCESS if delivered else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Send nothing from now on; an attempt that waits to be repeated ends at once."""
        self._sender.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: nothing is kept here."""
        return True


class OtlpLogExporter(LogRecordExporter):
    """Exports log records by OTLP over HTTP.

    Args:
        settings: Where to and how; ``None`` for those of the environment.

    Raises:
        ValueError, OSError: See :class:`Delivery`.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._sender = _Sender(settings or read_settings("logs"), "log records")

    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
        """Send ``batch``; takes as long as the time-out at the most, and raises nothing."""
        delivered = self._sender.send(*encode_logs(batch), len(batch))
        return LogRecordExportResult.SUCCESS if delivered else LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        """Send nothing from now on; an attempt that waits to be repeated ends at once."""
        self._sender.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: nothing is kept here."""
        return True


class _Sender:
    """What both signals have in common: delivery, and a report of what is lost."""

    def __init__(self, settings: Settings, what: str) -> None:
        self._delivery = Delivery(settings)
        self._log = FailureLog(what, self._delivery.endpoint.base + self._delivery.endpoint.path)
        self.close = self._delivery.close

    def send(self, request: bytes, errors: list[Exception], count: int) -> bool:
        if errors:
            self._log.failed(len(errors), f"some cannot be encoded ({type(errors[0]).__qualname__})")
        if not request:
            return not errors
        outcome = self._delivery.send(request)
        lost = outcome.rejected if outcome.delivered else count - len(errors)
        if outcome.reason:
            self._log.failed(lost, outcome.reason)
        return outcome.delivered
