#!/usr/bin/env python
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
A one-file OTLP receiver: appends every span (and log record, and the names of
metrics) as one JSON line to a file.  JSON bodies need the standard library only;
protobuf bodies need the opentelemetry-proto package, gRPC also grpcio.

    python otlp_sink.py PORT FILE [GRPC_PORT]
"""

from __future__ import annotations

import base64
import gzip
import json
import sys
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

port, out_path = int(sys.argv[1]), sys.argv[2]
lock = threading.Lock()


def plain(v: Any) -> Any:
    """AnyValue -> Python value"""
    if not isinstance(v, dict) or not v:
        return v
    ((kind, x),) = v.items()
    if kind == "intValue":
        return int(x)
    if kind == "arrayValue":
        return [plain(i) for i in x.get("values", [])]
    if kind == "kvlistValue":
        return attrs(x.get("values", []))
    return x


def attrs(pairs: Any) -> dict[str, Any]:
    return {p["key"]: plain(p.get("value")) for p in pairs or []}


def parse_proto(path: str, body: bytes) -> Any:
    from google.protobuf.json_format import MessageToDict

    if path.endswith("/traces"):
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

        message: Any = trace_service_pb2.ExportTraceServiceRequest
    elif path.endswith("/logs"):
        from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

        message = logs_service_pb2.ExportLogsServiceRequest
    else:
        from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

        message = metrics_service_pb2.ExportMetricsServiceRequest

    def hexed(o: Any) -> Any:  # ids: base64 in protobuf's own JSON, hex in OTLP/JSON
        if isinstance(o, dict):
            return {
                k: base64.b64decode(v).hex() if k in ("traceId", "spanId", "parentSpanId") else hexed(v)
                for k, v in o.items()
            }
        return [hexed(i) for i in o] if isinstance(o, list) else o

    return hexed(MessageToDict(message.FromString(body), use_integers_for_enums=True))


def rows(data: Any) -> Iterator[dict[str, Any]]:
    for rs in data.get("resourceSpans", []):
        res = attrs(rs.get("resource", {}).get("attributes"))
        for ss in rs.get("scopeSpans", []):
            for s in ss.get("spans", []):
                yield {
                    "signal": "span",
                    "service": res.get("service.name"),
                    "resource": res,
                    "scope": ss.get("scope", {}).get("name"),
                    "name": s.get("name"),
                    "kind": s.get("kind"),
                    "trace": s.get("traceId"),
                    "span": s.get("spanId"),
                    "parent": s.get("parentSpanId") or None,
                    "start": int(s.get("startTimeUnixNano", 0)),
                    "end": int(s.get("endTimeUnixNano", 0)),
                    "status": s.get("status", {}),
                    "attrs": attrs(s.get("attributes")),
                    "events": [e.get("name") for e in s.get("events", [])],
                    "links": [(x.get("traceId"), x.get("spanId")) for x in s.get("links", [])],
                }
    for rl in data.get("resourceLogs", []):
        res = attrs(rl.get("resource", {}).get("attributes"))
        for sl in rl.get("scopeLogs", []):
            for r in sl.get("logRecords", []):
                yield {
                    "signal": "log",
                    "service": res.get("service.name"),
                    "scope": sl.get("scope", {}).get("name"),
                    "severity": r.get("severityText"),
                    "body": plain(r.get("body")),
                    "trace": r.get("traceId"),
                    "span": r.get("spanId"),
                    "time": int(r.get("timeUnixNano", 0)),
                    "attrs": attrs(r.get("attributes")),
                }
    for rm in data.get("resourceMetrics", []):
        res = attrs(rm.get("resource", {}).get("attributes"))
        for sm in rm.get("scopeMetrics", []):
            for m in sm.get("metrics", []):
                yield {"signal": "metric", "service": res.get("service.name"), "name": m.get("name")}


def write_rows(data: Any) -> None:
    # opened anew each time: the file may be deleted between two tests
    with lock, open(out_path, "a") as out:
        for row in rows(data):
            out.write(json.dumps(row, default=str) + "\n")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # the name that http.server calls
        self.reply(200, b"{}")

    def do_POST(self) -> None:  # ditto
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        match self.headers.get("Content-Encoding"):
            case "gzip":
                body = gzip.decompress(body)
            case "deflate":
                body = zlib.decompress(body)
        try:
            is_json = "json" in self.headers.get("Content-Type", "")
            data = json.loads(body) if is_json else parse_proto(self.path, body)
            write_rows(data)
        except Exception as e:
            print("cannot read", self.path, repr(e), flush=True)
            self.reply(400, repr(e).encode())
            return
        self.reply(200, b"{}" if is_json else b"", "application/json" if is_json else "application/x-protobuf")

    def reply(self, code: int, body: bytes, ctype: str = "application/json") -> None:
        self.send_response(code)
        self.send_header("Content-Type", ctype)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *a: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        # an exporter that was killed while waiting for the reply
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def serve_grpc(grpc_port: int) -> Any:
    """OTLP over gRPC: raw bytes in, an empty reply out, hence no generated code."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc  # type: ignore[import-untyped]  # its stubs are a package of their own

    def exporter(path: str) -> Any:
        def export(body: bytes, context: object) -> bytes:
            write_rows(parse_proto(path, body))
            return b""

        return grpc.unary_unary_rpc_method_handler(export)

    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    for kind, path in (("trace.v1.Trace", "/traces"), ("logs.v1.Logs", "/logs"), ("metrics.v1.Metrics", "/metrics")):
        service = f"opentelemetry.proto.collector.{kind}Service"
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Export": exporter(path)})])
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    server.start()
    return server


if len(sys.argv) > 3:
    try:
        grpc_server = serve_grpc(int(sys.argv[3]))
    except ImportError as e:
        print("HTTP only:", e, flush=True)
Server(("127.0.0.1", port), Handler).serve_forever()
