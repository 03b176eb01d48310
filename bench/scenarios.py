# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What is measured: who traces the server, and what a request makes it do."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

NOTHING: Final = "nothing"
STOCK: Final = "stock"
OURS: Final = "ours"
VARIANTS: Final = (NOTHING, STOCK, OURS)

# Where spans go to: nowhere; to a sink, each by the exporter that it brings; or both by the official one.
NOWHERE: Final = ""
OWN: Final = "own"
OFFICIAL: Final = "official"
EXPORTERS: Final = {
    NOWHERE: "the same one on both sides, which throws the spans away",
    OWN: "to a local sink, stock by opentelemetry-exporter-otlp-proto-http, ours by the plugin's own exporter",
    OFFICIAL: "to a local sink, both by opentelemetry-exporter-otlp-proto-http",
}

# Backend.AI's manager sends it to the storage-proxy: to the plugin the callee is a peer.
MARKER_HEADER: Final = "X-BackendAI-Storage-Auth-Token"

# More than a round sends, so that nobody gains by remembering what he has parsed.
_DISTINCT_REQUESTS = 4096


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of request.

    Args:
        name: Its row in the table.
        path: What is asked for.
        spans: The spans that the server makes of it, when it makes any.
        from_peer: Whether the sender is traced like the server, and so sends what its telemetry propagates.
    """

    name: str
    path: str
    spans: int
    from_peer: bool


SCENARIOS: Final = (
    Scenario("server hop, from outside", "/hop/1", spans=1, from_peer=False),
    Scenario("server hop, from a peer", "/hop/1", spans=1, from_peer=True),
    Scenario("server hop + client call", "/call/1", spans=2, from_peer=True),
)


def requests_of(scenario: Scenario, variant: str) -> Sequence[bytes]:
    """Return different requests as they stand on the wire.

    A peer sends what the same telemetry makes it send: nothing, ``traceparent``, or that with baggage and the request
    ID. So the plugin pays for reading its own headers, and stock OpenTelemetry does not pay for reading ours.
    """
    trace_headers = _TRACE_HEADERS[variant] if scenario.from_peer else _no_headers
    start = (
        f"GET {scenario.path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: Backend.AI Client for Python 26.8\r\n"
        "Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nX-BackendAI-Version: v9.20250722\r\n"
    )
    return [f"{start}{trace_headers()}\r\n".encode() for _ in range(_DISTINCT_REQUESTS)]


def _no_headers() -> str:
    return ""


def _traceparent() -> str:
    return f"traceparent: 00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01\r\n"


def _ours() -> str:
    request_id = uuid.uuid4()
    return (
        f"{_traceparent()}baggage: backendai.request.id={request_id}\r\n"
        f"X-Request-ID: {request_id}\r\nX-BackendAI-RequestID: {request_id}\r\n"
    )


_TRACE_HEADERS: dict[str, Callable[[], str]] = {NOTHING: _no_headers, STOCK: _traceparent, OURS: _ours}
