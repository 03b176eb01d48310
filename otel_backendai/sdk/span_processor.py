# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Puts ``backendai.request.id`` on every span that starts in a request, also on those of other libraries.

And takes off them all what is secret: the URLs that they bring, and those that their exceptions quote.
"""

from collections.abc import Mapping
from typing import cast
from weakref import WeakSet

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import Status
from opentelemetry.util.types import AttributeValue

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.names import ATTRIBUTE_REQUEST_ID
from otel_backendai.redaction import URL_ATTRIBUTES, redact_text, redact_url

_START = Guard("span processor: start")
_END = Guard("span processor: end")
_EQUIP = Guard("span processor: first in its provider")
_equipped: WeakSet[TracerProvider] = WeakSet()


class RequestIdSpanProcessor(SpanProcessor):
    """Runs before the processors that export; exports nothing and keeps nothing."""

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
        """Redact URLs that exceptions and the status quote, and those that were set after the start.

        ``span`` is what all later processors are given.
        """
        with _END:
            attributes = span.attributes or {}
            if not URL_ATTRIBUTES.isdisjoint(attributes):
                _redact_ended(span, attributes)
            for event in span.events:
                _redact_event(event)
            description = span.status.description
            if description and (redacted := redact_text(description)) != description:
                span._status = Status(span.status.status_code, redacted)

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


def _redact_ended(span: ReadableSpan, attributes: Mapping[str, AttributeValue]) -> None:
    urls = {name: attributes[name] for name in URL_ATTRIBUTES if name in attributes}
    changed = {
        name: redacted
        for name, url in urls.items()
        if isinstance(url, str) and (redacted := redact_url(url)) is not url
    }
    if changed:
        span._attributes = _replaced(attributes, changed, span.dropped_attributes)


def _redact_event(event: Event) -> None:
    attributes = event.attributes or {}
    changed = {name: redacted for name, value in attributes.items() if (redacted := _redacted_value(value)) != value}
    if changed:
        event._attributes = _replaced(attributes, changed, event.dropped_attributes)


def _redacted_value(value: AttributeValue) -> AttributeValue:
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, tuple) and any(isinstance(part, str) for part in value):
        # The SDK lets `None` stand among texts.
        return cast("AttributeValue", tuple(redact_text(part) if isinstance(part, str) else part for part in value))
    return value


def _replaced(
    attributes: Mapping[str, AttributeValue], changed: Mapping[str, AttributeValue], dropped: int
) -> BoundedAttributes:
    # What has ended, and an event, have no other way to change; the SDK's keep what they hold in `_attributes` in all
    # trains.
    bounded = BoundedAttributes(attributes={**attributes, **changed})
    bounded.dropped = dropped
    return bounded


def equip(provider: object) -> None:
    """Add the processor to ``provider``, once; nothing happens when it is no provider of the SDK."""
    if isinstance(provider, TracerProvider) and provider not in _equipped:
        _equipped.add(provider)
        provider.add_span_processor(RequestIdSpanProcessor())
        with _EQUIP:
            # Before those that the application has added: one that exports at once would export what is secret.
            active = provider._active_span_processor
            with active._lock:
                *others, ours = active._span_processors
                active._span_processors = (ours, *others)
