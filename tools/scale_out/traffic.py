# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Traces of ten spans over five services, and their way in: half of the spans of each through either node."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from hashlib import blake2b
from http.client import HTTPConnection

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from otel_backendai.names import ATTRIBUTE_REQUEST_ID

SPANS_PER_TRACE = 10
CHOSEN_REQUEST_ID = "chosen-request"
SLOW_MS = 2000
_SERVICES = ("webserver", "manager", "agent", "storage-proxy", "appproxy-coordinator")
_TRACES_PER_EXPORT = 100
_TIMEOUT = 30.0
_REFUSED = (429, 502, 503, 504)
_REFUSAL_PAUSE = 0.2
_REFUSAL_LIMIT = 100


class Kind(Enum):
    """Why a trace is kept, or that chance decides."""

    FAILED = "with an error"
    SLOW = "slow"
    CHOSEN = "of the chosen request ID"
    ORDINARY = "the rest"


def kind_of(number: int) -> Kind:
    """Of each hundred traces one has an error, one is slow, one is of the chosen request."""
    return {0: Kind.FAILED, 1: Kind.SLOW, 2: Kind.CHOSEN}.get(number % 100, Kind.ORDINARY)


def trace_id_of(number: int) -> bytes:
    """The same for the same number in every run, and spread evenly."""
    return blake2b(number.to_bytes(8, "big"), digest_size=16).digest()


class Traffic:
    """Traces on their way to the nodes.

    Args:
        node_urls: Where OTLP/HTTP is received; span N of a trace goes to node N modulo their number.
        traces: How many.
        spans_per_second: Over all nodes; the sender waits for each answer, so it may be less.
    """

    def __init__(self, node_urls: Sequence[str], traces: int, spans_per_second: float) -> None:
        self.traces = traces
        self.spans = traces * SPANS_PER_TRACE
        self.refusals = 0
        self.seconds = 0.0
        # Of each export of a hundred traces, when the last node had answered.
        self._answered: dict[int, float] = {}
        self._start_ns = time.time_ns()
        self._node_urls = node_urls
        self._rate = spans_per_second
        self._lock = threading.Lock()

    def send(self) -> None:
        """Send everything; return when all is answered.

        Raises:
            RuntimeError: A node answered with an error, or refused the same spans a hundred times.
        """
        begin = time.monotonic()
        with ThreadPoolExecutor(len(self._node_urls)) as pool:
            senders = [pool.submit(self._send_to, node, begin) for node in range(len(self._node_urls))]
        for sender in senders:
            sender.result()
        self.seconds = time.monotonic() - begin

    def sent_at(self, number: int) -> float:
        """When (:func:`time.monotonic`) all spans of a trace had been taken by the nodes."""
        return self._answered[number // _TRACES_PER_EXPORT]

    def _send_to(self, node: int, begin: float) -> None:
        connection = HTTPConnection(self._node_urls[node].removeprefix("http://"), timeout=_TIMEOUT)
        try:
            for export, first in enumerate(range(0, self.traces, _TRACES_PER_EXPORT)):
                last = min(first + _TRACES_PER_EXPORT, self.traces)
                body = _encode(range(first, last), node, len(self._node_urls), self._start_ns)
                time.sleep(max(0.0, begin + first * SPANS_PER_TRACE / self._rate - time.monotonic()))
                self._post(connection, body)
                with self._lock:
                    self._answered[export] = time.monotonic()
        finally:
            connection.close()

    def _post(self, connection: HTTPConnection, body: bytes) -> None:
        for _ in range(_REFUSAL_LIMIT):
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            answer = connection.getresponse()
            content = answer.read()
            if answer.status == 200:
                rejected = ExportTraceServiceResponse.FromString(content).partial_success.rejected_spans
                if rejected:
                    raise RuntimeError(f"a node rejected {rejected} spans")
                return
            if answer.status not in _REFUSED:
                raise RuntimeError(f"a node answered {answer.status}: {content[:200]!r}")
            with self._lock:
                self.refusals += 1
            time.sleep(_REFUSAL_PAUSE)
        raise RuntimeError(f"a node refused the same spans {_REFUSAL_LIMIT} times")


def _encode(numbers: range, node: int, nodes: int, start_ns: int) -> bytes:
    """The spans of the traces that this node gets, as an export request. All traces start at the same time."""
    request = ExportTraceServiceRequest()
    scopes = []
    for service in _SERVICES:
        resource_spans = request.resource_spans.add()
        resource_spans.resource.attributes.add(key="service.name").value.string_value = service
        scopes.append(resource_spans.scope_spans.add())
    for number in numbers:
        for place in range(node, SPANS_PER_TRACE, nodes):
            scopes[place % len(_SERVICES)].spans.append(_span(number, place, start_ns))
    return request.SerializeToString()


def _span(number: int, place: int, start_ns: int) -> Span:
    """Span number ``place`` of a trace; 0 is the root. About 330 bytes on the wire."""
    kind = kind_of(number)
    milliseconds = SLOW_MS if kind is Kind.SLOW and place == 0 else 50 - place
    span = Span(
        trace_id=trace_id_of(number),
        span_id=_span_id(number, place),
        parent_span_id=_span_id(number, (place - 1) // 2) if place else b"",
        name=f"POST /sessions/{{id}}/{place}",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + milliseconds * 1_000_000,
    )
    if kind is Kind.FAILED and place == SPANS_PER_TRACE - 1:
        span.status.code = Status.STATUS_CODE_ERROR
        span.status.message = "no space left"
    for key, value in _attributes(number, kind):
        span.attributes.add(key=key).value.string_value = value
    return span


def _attributes(number: int, kind: Kind) -> Iterator[tuple[str, str]]:
    yield ATTRIBUTE_REQUEST_ID, CHOSEN_REQUEST_ID if kind is Kind.CHOSEN else f"request-{number}"
    yield "http.request.method", "POST"
    yield "http.route", "/sessions/{id}"
    yield "url.path", f"/sessions/{number}"
    yield "server.address", "manager.internal"
    yield "user_agent.original", "Backend.AI Client for Python 26.9.6"


def _span_id(number: int, place: int) -> bytes:
    return (number + 1).to_bytes(7, "big") + place.to_bytes(1, "big")
