# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Puts ``backendai.request.id`` on every span that starts in a request, also on those of other libraries."""

from collections.abc import Mapping
from weakref import WeakSet

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.names import ATTRIBUTE_REQUEST_ID
from otel_backendai.redaction import URL_ATTRIBUTES, redact_url

_START = Guard("span processor: start")
_equipped: WeakSet[TracerProvider] = WeakSet()


class RequestIdSpanProcessor(SpanProcessor):
    """Runs at the start of a span, where attributes can still be set; exports nothing and keeps nothing."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Set the request ID of ``parent_context`` (default: current), and redact URLs that the span brought."""
        with _START:
            attributes = span.attributes or {}
            if ATTRIBUTE_REQUEST_ID in attributes:
                return  # a span of our own hops, which write no URL
            value = request_id.read(parent_context)
            if value is not None:
                span.set_attribute(ATTRIBUTE_REQUEST_ID, value)
            # One pass over the names: looking for one that is not there costs an exception in the SDK.
            if not URL_ATTRIBUTES.isdisjoint(attributes):
                _redact(span, attributes)

    def on_end(self, span: ReadableSpan) -> None:
        """Do nothing."""

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: there is never anything to flush."""
        return True


def _redact(span: Span, attributes: Mapping[str, object]) -> None:
    for name in URL_ATTRIBUTES:
        if name in attributes:
            url = attributes[name]
            if isinstance(url, str) and (redacted := redact_url(url)) is not url:
                span.set_attribute(name, redacted)


def equip(provider: object) -> None:
    """Add the processor to ``provider``, once; nothing happens when it is no provider of the SDK."""
    if isinstance(provider, TracerProvider) and provider not in _equipped:
        _equipped.add(provider)
        provider.add_span_processor(RequestIdSpanProcessor())
