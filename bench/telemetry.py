# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The three ways to trace a server process, with the same SDK and the same exporter."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from bench.scenarios import OURS, STOCK


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
        otlp_endpoint: Where both kinds send their spans to; nowhere when empty.
    """

    def __init__(self, variant: str, otlp_endpoint: str) -> None:
        self._exporter = CountingExporter(_otlp(otlp_endpoint) if otlp_endpoint else None)
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


def _otlp(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint)
