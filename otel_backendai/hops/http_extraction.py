# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the headers of an HTTP request bring: trace, request ID, baggage; of nothing else than well-formed text."""

from collections.abc import Mapping
from typing import cast

from opentelemetry import baggage, propagate
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops.peers import is_from_peer
from otel_backendai.names import ATTRIBUTE_REQUEST_ID, BAGGAGE, TRACESTATE
from otel_backendai.propagators.http_headers import HttpHeadersPropagator
from otel_backendai.propagators.w3c import is_trace_state, well_formed_baggage

_EXTRACT = Guard("http server: global propagator")

_REQUEST_ID_HEADERS = HttpHeadersPropagator()


class _HeadersGetter(Getter[Mapping[str, str]]):
    """Reads aiohttp's multi-dicts, and the plain dict that stands in their place on a malformed request."""

    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        getall = getattr(carrier, "getall", None)
        if getall is not None:
            values = cast("list[str] | None", getall(key, None))
        else:
            values = None if key not in carrier else [carrier[key]]
        if not values:
            return values
        # The stock propagators write to the log what they cannot read: anybody's text, in up to 180 lines a request.
        if key == BAGGAGE:
            only = None if is_from_peer(carrier) else ATTRIBUTE_REQUEST_ID
            return [well_formed_baggage(value, only) for value in values]
        if key == TRACESTATE:
            return values if is_trace_state(",".join(values)) else None
        return values

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        return list(carrier)


_HEADERS_GETTER = _HeadersGetter()


def extract_request_headers(headers: Mapping[str, str]) -> Context:
    """Return a fresh context with what the headers of a request bring: trace, an acceptable request ID, baggage.

    Other baggage than the request ID's only from a caller that this component knows by the secret of a header: anybody
    may call a public API, and baggage travels on to every peer.
    """
    context = Context()
    with _EXTRACT:
        # An empty composite (OTEL_PROPAGATORS=none) may return None.
        context = propagate.extract(headers, context, _HEADERS_GETTER) or context
        if baggage.get_all(context) and not is_from_peer(headers):
            value = request_id.read(context)
            context = baggage.clear(context)
            if value is not None:
                context = request_id.bind(value, context)
    return _REQUEST_ID_HEADERS.extract(headers, context, _HEADERS_GETTER)
