# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Where gateways tell what they received and kept: an OTLP/HTTP server that counts spans by trace and gateway.

A gateway posts to ``URL/GATEWAY/received``, ``URL/GATEWAY/kept`` and, its span metrics, ``URL/GATEWAY/metrics``.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

CALLS = "traces.span.metrics.calls"


class Tally:
    """Spans that gateways told of, by gateway and trace.

    The last byte of a span ID is the number of the span in its trace (traffic.py): the spans of a trace are a bit mask.
    """

    def __init__(self) -> None:
        self.spans = 0
        self.repeated = 0
        self.last_arrival = time.monotonic()
        # Of each trace, when its last new span came.
        self.arrived: dict[bytes, float] = {}
        self.masks: defaultdict[str, defaultdict[bytes, int]] = defaultdict(lambda: defaultdict(int))

    def add(self, gateway: str, request: ExportTraceServiceRequest) -> None:
        """Count the spans of one request."""
        now = time.monotonic()
        masks = self.masks[gateway]
        for resource_spans in request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    bit = 1 << span.span_id[-1]
                    if masks[span.trace_id] & bit:
                        self.repeated += 1
                        continue
                    masks[span.trace_id] |= bit
                    self.spans += 1
                    self.arrived[span.trace_id] = now
        self.last_arrival = now

    def traces(self) -> dict[bytes, dict[str, int]]:
        """Of each trace how many different spans each gateway has; a gateway without any is not named."""
        found: defaultdict[bytes, dict[str, int]] = defaultdict(dict)
        for gateway, masks in list(self.masks.items()):
            for trace_id, mask in list(masks.items()):
                found[trace_id][gateway] = mask.bit_count()
        return dict(found)


class Sink:
    """What was told so far. ``url`` is where."""

    def __init__(self) -> None:
        self.url = ""
        self.received = Tally()
        self.kept = Tally()
        self.metric_attributes: set[str] = set()
        self._calls: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def counted_calls(self) -> int:
        """How many spans the span metrics of all gateways have counted."""
        with self._lock:
            return sum(self._calls.values())

    def take(self, path: str, body: bytes) -> None:
        """Take the body of a POST to ``/GATEWAY/KIND/v1/SIGNAL``."""
        _, gateway, kind, *_ = path.split("/")
        if kind == "metrics":
            metrics = ExportMetricsServiceRequest.FromString(body)
            with self._lock:
                self._take_metrics(gateway, metrics)
            return
        traces = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            (self.received if kind == "received" else self.kept).add(gateway, traces)

    def _take_metrics(self, gateway: str, request: ExportMetricsServiceRequest) -> None:
        calls = 0
        for resource_metrics in request.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    if metric.name == CALLS:
                        for point in metric.sum.data_points:
                            calls += point.as_int
                            self.metric_attributes.update(pair.key for pair in point.attributes)
        # Cumulative: the last count is the whole.
        self._calls[gateway] = calls


@contextmanager
def running_sink() -> Iterator[Sink]:
    """Count on a loopback port until the block ends."""
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Answers are one small packet each: without this each waits for the acknowledgement of the one before.
        disable_nagle_algorithm = True

        def handle(self) -> None:
            # A killed gateway closes nothing.
            with suppress(ConnectionError):
                super().handle()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                sink.take(self.path, body)
                self.send_response(200)
            except DecodeError:
                # Not sent again: the checks miss it.
                self.send_response(400)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    sink.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
