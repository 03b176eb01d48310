# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The request ID in HTTP headers. Entry point ``backendai`` of group ``opentelemetry_propagator``."""

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from otel_backendai import request_id
from otel_backendai.counters import count_rejected
from otel_backendai.guard import Guard
from otel_backendai.names import ORIGIN_HTTP, REQUEST_ID_HEADERS, SENT_REQUEST_ID_HEADERS

_EXTRACT = Guard("http headers: extract")
_INJECT = Guard("http headers: inject")


class HttpHeadersPropagator(TextMapPropagator):
    """Reads three header names, writes two; the W3C headers are the business of the propagators beside it."""

    @property
    def fields(self) -> set[str]:
        """The two headers that :meth:`inject` writes."""
        return set(SENT_REQUEST_ID_HEADERS)

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Return ``context`` (default: an empty one) with the carrier's request ID bound.

        The first acceptable header wins over a request ID that baggage brought. A repeated header is ambiguous and
        counts as hostile, like everything that is not acceptable.
        """
        found = Context() if context is None else context
        with _EXTRACT:
            for name in REQUEST_ID_HEADERS:
                values = getter.get(carrier, name)
                if not values and type(carrier) is dict:  # the only headers in use whose case matters
                    values = getter.get(carrier, name.lower())
                if not values:
                    continue
                value = values[0] if len(values) == 1 else None
                if request_id.is_acceptable(value):
                    return request_id.bind(value, found)
                count_rejected(ORIGIN_HTTP)
            if request_id.read(found) is None:
                return request_id.unbind(found)
        return found

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write the current request ID, if any, under both names that Backend.AI peers read."""
        with _INJECT:
            value = request_id.read(context)
            if value is not None:
                for name in SENT_REQUEST_ID_HEADERS:
                    setter.set(carrier, name, value)
