# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The OTLP exporter across forks, behind proxies, and from a configured process to a receiver and to the desk."""

import asyncio
import json
import socket
import threading
from contextlib import suppress

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode

from otel_backendai.desk.model import Span as ShownSpan
from otel_backendai.desk.model import SpanEvent, SpanLink
from otel_backendai.desk.server import Desk
from otel_backendai.otlp.exporter import OtlpLogExporter, OtlpSpanExporter
from otel_backendai.otlp.settings import Settings
from tests.integration.otlp_servers import Authority, Reply, Request, raw_server, read_request, serving
from tests.unit.conftest import output_of
from tests.unit.otlp_records import log_record

pytestmark = pytest.mark.usefixtures("no_settings")

PRELUDE = """
import os, threading, time
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext
from otel_backendai.otlp.exporter import OtlpSpanExporter

exporter = OtlpSpanExporter()

def export(name):
    span = ReadableSpan(name, SpanContext(1, 2, is_remote=False), resource=Resource({}))
    return exporter.export([span]).name

def in_child(*names):
    pid = os.fork()
    if pid == 0:
        try:
            done = [export(name) for name in names]
            exporter.shutdown()
            os._exit(0 if set(done) == {"SUCCESS"} else 1)
        finally:
            os._exit(2)
    return pid
"""


def name_of(request: Request) -> str:
    """The name of the one span in a request."""
    message = ExportTraceServiceRequest.FromString(request.body)
    return message.resource_spans[0].scope_spans[0].spans[0].name


@pytest.mark.parametrize("secure", [False, True], ids=["HTTP", "HTTPS"])
def test_each_process_has_its_own_connection(secure: bool, authority: Authority) -> None:
    """An exporter that was used before a fork: the child connects anew, the parent's connection stays as it was."""
    code = (
        PRELUDE
        + """
assert export("before") == "SUCCESS"
child = in_child("child 1", "child 2")
assert os.waitpid(child, 0)[1] == 0
assert export("after") == "SUCCESS"
exporter.shutdown()
"""
    )
    with serving(authority.context() if secure else None) as server:
        output_of(code, OTEL_EXPORTER_OTLP_ENDPOINT=server.url, OTEL_EXPORTER_OTLP_CERTIFICATE=authority.file)
    peers = {name_of(request): request.peer for request in server.requests}
    assert list(peers) == ["before", "child 1", "child 2", "after"]
    assert peers["before"] == peers["after"]
    assert peers["child 1"] == peers["child 2"] != peers["before"]


def test_a_fork_in_the_middle_of_an_export() -> None:
    """A thread of the parent holds the exporter at the fork: the child is not held up."""
    code = (
        PRELUDE
        + """
thread = threading.Thread(target=export, args=("parent",), daemon=True)
thread.start()
while not exporter._sender._delivery._lock.locked():
    time.sleep(0.001)
time.sleep(0.3)
child = in_child("child")
assert os.waitpid(child, 0)[1] == 0
exporter.shutdown()
thread.join(20)
assert not thread.is_alive()
"""
    )
    with serving(None, Reply(503, {"Retry-After": "300"})) as server:
        output_of(code, OTEL_EXPORTER_OTLP_ENDPOINT=server.url, OTEL_EXPORTER_OTLP_TIMEOUT="600")
    assert [name_of(request) for request in server.requests] == ["parent", "child"]


def test_an_export_imports_nothing(authority: Authority) -> None:
    """What an export needs is imported by the configurator: a fork in the middle of an import hangs the worker."""
    code = """
import json, sys, time
from otel_backendai.sdk.configurator import BackendAIConfigurator
BackendAIConfigurator().configure()
before = set(sys.modules)
import logging
from opentelemetry import trace, _logs
with trace.get_tracer("t").start_as_current_span("a span"):
    logging.getLogger("t").warning("a line")
assert trace.get_tracer_provider().force_flush(20_000)
assert _logs.get_logger_provider().force_flush(20_000)
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    replies = (Reply(503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),)
    with serving(authority.context(), *replies) as server:
        imported = json.loads(
            output_of(
                code,
                OTEL_BACKENDAI_COMPONENT="manager",
                OTEL_LOGS_EXPORTER="otlp",
                OTEL_EXPORTER_OTLP_ENDPOINT=server.url,
                OTEL_EXPORTER_OTLP_CERTIFICATE=authority.file,
                OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
                OTEL_EXPORTER_OTLP_HEADERS="a=b",
            ).splitlines()[-1]
        )
    assert {request.target for request in server.requests} == {"/v1/traces", "/v1/logs"}
    assert imported == []


TRACE_ID = f"{0xABCD:032x}"
SPAN = ReadableSpan(
    "a span",
    SpanContext(0xABCD, 0x1234, is_remote=False),
    parent=SpanContext(0xABCD, 0x5678, is_remote=True),
    resource=Resource({"service.name": "manager"}),
    attributes={"backendai.request.id": "req-1", "count": -7, "list": ["a", "b"], "share": 0.5, "yes": True},
    events=[Event("retried", {"attempt": 2}, 1_500)],
    links=[Link(SpanContext(0xEF, 0x99, is_remote=False), {"why": "redelivered"})],
    kind=SpanKind.SERVER,
    status=Status(StatusCode.ERROR, "no space left"),
    start_time=1_000,
    end_time=2_000,
    instrumentation_scope=InstrumentationScope("scope", "1.0"),
)


def test_an_http_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver over plain HTTP is asked of the proxy, which gets its credentials, and the receiver its own."""
    with serving() as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:pass@127.0.0.1:{proxy.port}")
        sender = OtlpSpanExporter(Settings("http://me:pw@collector.internal:4318/v1/traces?a=b"))
        assert sender.export([SPAN]) is SpanExportResult.SUCCESS
        sender.shutdown()
    (request,) = proxy.requests
    assert request.target == "http://collector.internal:4318/v1/traces?a=b"
    assert request.headers["host"] == "collector.internal:4318"
    assert request.headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"
    assert request.headers["authorization"] == "Basic bWU6cHc="


def test_a_tunnel_through_a_proxy(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver over TLS is reached through CONNECT; its certificate is checked against its own name."""
    asked: list[bytes] = []

    def tunnel(connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1)
        asked.append(head)
        with socket.create_connection(("127.0.0.1", server.port)) as upstream:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(upstream, connection), daemon=True)
            back.start()
            pump(connection, upstream)
            back.join(10)

    with serving(authority.context()) as server, raw_server(tunnel) as port:
        monkeypatch.setenv("https_proxy", f"http://user:pass@127.0.0.1:{port}")
        settings = Settings("https://collector.internal:4318/v1/traces", certificate=authority.file)
        sender = OtlpSpanExporter(settings)
        assert [sender.export([SPAN]), sender.export([SPAN])] == [SpanExportResult.SUCCESS] * 2
        sender.shutdown()
        assert [request.target for request in server.requests] == ["/v1/traces"] * 2
        assert all("proxy-authorization" not in request.headers for request in server.requests)
    (head,) = asked
    assert head.startswith(b"CONNECT collector.internal:4318 HTTP/1.")
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n" in head


def test_a_proxy_that_refuses_a_tunnel(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is asked once, and what it says is one line, however it looks."""
    asked: list[bytes] = []

    def refuse(connection: socket.socket) -> None:
        asked.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 407 \x1b[31mno" + b"!" * 3_000 + b"\r\nContent-Length: 0\r\n\r\n")
        connection.close()

    with raw_server(refuse) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        sender = OtlpSpanExporter(Settings("https://collector.internal:4318/v1/traces", certificate=authority.file))
        assert sender.export([SPAN]) is SpanExportResult.FAILURE
        sender.shutdown()
    assert len(asked) == 1
    (line,) = [record.getMessage() for record in caplog.records]
    assert "407" in line
    assert line.isprintable()
    assert len(line) < 400


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass everything on until ``source`` ends."""
    with suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(
    ("no_proxy", "asked"), [("", 1), ("127.0.0.3", 1), ("127.0.0.2", 0), ("*", 0), (".0.2", 0), ("127.0.0.2:1", 0)]
)
def test_no_proxy(no_proxy: str, asked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts of `NO_PROXY` are not asked of the proxy."""
    with serving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", no_proxy)
        # Nobody listens there: without the proxy, the export fails.
        sender = OtlpSpanExporter(Settings("http://127.0.0.2:1/v1/traces", timeout=0.2))
        assert (sender.export([SPAN]) is SpanExportResult.SUCCESS) == bool(asked)
        sender.shutdown()
        assert len(proxy.requests) == asked


def test_loopback_never_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy's loopback is another one, whatever `NO_PROXY` says or does not say."""
    with serving() as proxy, serving() as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        sender = OtlpSpanExporter(Settings(f"{server.url}/v1/traces"))
        assert sender.export([SPAN]) is SpanExportResult.SUCCESS
        sender.shutdown()
        assert (len(server.requests), len(proxy.requests)) == (1, 0)


async def test_to_the_desk() -> None:
    """What the desk shows of a span and a log line that our exporters sent."""
    desk = Desk()
    await desk.start()
    try:
        spans = OtlpSpanExporter(Settings(f"{desk.url}/v1/traces", compression="gzip"))
        logs = OtlpLogExporter(Settings(f"{desk.url}/v1/logs"))
        line = log_record(
            trace_id=0xABCD,
            span_id=0x1234,
            resource=SPAN.resource,
            body="a line",
            timestamp=1_500,
            severity_text="INFO",
        )
        assert await asyncio.to_thread(spans.export, [SPAN]) is SpanExportResult.SUCCESS
        assert (await asyncio.to_thread(logs.export, [line])).name == "SUCCESS"
        spans.shutdown()
        logs.shutdown()
        (span,) = desk.store.trace(TRACE_ID)
        (text,) = desk.store.logs_of_trace(TRACE_ID)
    finally:
        await desk.stop()
    assert span == ShownSpan(
        trace_id=TRACE_ID,
        span_id="0000000000001234",
        parent_span_id="0000000000005678",
        name="a span",
        kind="server",
        start_ns=1_000,
        end_ns=2_000,
        service="manager",
        status="error",
        status_message="no space left",
        scope="scope",
        scope_version="1.0",
        attributes={"backendai.request.id": "req-1", "count": -7, "list": ["a", "b"], "share": 0.5, "yes": True},
        resource={"service.name": "manager"},
        events=(SpanEvent(1_500, "retried", {"attempt": 2}),),
        links=(SpanLink(f"{0xEF:032x}", f"{0x99:016x}", {"why": "redelivered"}),),
    )
    assert (text.body, text.service, text.severity, text.span_id) == ("a line", "manager", "INFO", span.span_id)
