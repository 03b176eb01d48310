# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The three ways to trace a server process, with the same SDK; whose exporter is chosen."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from bench.scenarios import NOWHERE, OFFICIAL, OURS, STOCK


class CountingExporter(SpanExporter):
    """Counts spans, and hands them to ``receiver`` if there is one.

    Args:
        receiver: An exporter that sends; ``None`` for one that does not, so that the network counts for nobody.
    """

    def __init__(self, receiver: SpanExporter | None = None) -> None:
        self._receiver = receiver
        self.spans = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Count ``spans``."""
        self.spans += len(spans)
        return SpanExportResult.SUCCESS if self._receiver is None else self._receiver.export(spans)

    def shutdown(self) -> None:
        """Release what the receiver holds."""
        if self._receiver is not None:
            self._receiver.shutdown()


class Telemetry:
    """Traces this process in one of the three ways, from now on: make it before the application.

    Args:
        variant: One of :data:`bench.scenarios.VARIANTS`.
        exporter: A key of :data:`bench.scenarios.EXPORTERS`.
        endpoint: The URL that both kinds send their spans to.
    """

    def __init__(self, variant: str, exporter: str, endpoint: str) -> None:
        make = _official if exporter == OFFICIAL or variant == STOCK else _ours
        self._exporter = CountingExporter(None if exporter == NOWHERE else make(endpoint))
        self._provider: TracerProvider | None = None
        if variant == STOCK:
            self._provider = self._instrument_stock()
        elif variant == OURS:
            self._provider = self._instrument_ours()

    def flush(self) -> int:
        """Export what is queued and return how many spans this process has exported in all."""
        if self._provider is not None:
            self._provider.force_flush(5_000)
        return self._exporter.spans

    def _instrument_stock(self) -> TracerProvider:
        from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
        from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor

        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(self._exporter))
        AioHttpServerInstrumentor().instrument(tracer_provider=provider)
        AioHttpClientInstrumentor().instrument(tracer_provider=provider)
        return provider

    def _instrument_ours(self) -> TracerProvider:
        from otel_backendai.instrumentors import BY_NAME
        from otel_backendai.sdk.id_generator import PrivateRandomIdGenerator
        from otel_backendai.sdk.processors import QueueSpanProcessor, make_queue
        from otel_backendai.sdk.resource import create_resource
        from otel_backendai.sdk.span_processor import equip

        # As our configurator builds it in a component.
        provider = TracerProvider(resource=create_resource(), id_generator=PrivateRandomIdGenerator())
        equip(provider)
        queue = make_queue("OTEL_BSP", "bench-spans", lambda: self._exporter, delay=5_000)
        provider.add_span_processor(QueueSpanProcessor(queue))
        for instrumentor in BY_NAME.values():
            instrumentor().instrument(tracer_provider=provider)
        return provider


def _ours(endpoint: str) -> SpanExporter:
    from otel_backendai.otlp.exporter import OtlpSpanExporter
    from otel_backendai.otlp.settings import Settings

    return OtlpSpanExporter(Settings(endpoint))


def _official(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint)
