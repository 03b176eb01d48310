# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The OTLP exporter against real servers that answer, refuse, hang, close, speak nonsense or something else."""

import datetime
import email.utils
import gzip
import logging
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc  # type: ignore[import-untyped]  # ships none
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # googleapis-common-protos has no stubs
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext

from otel_backendai.otlp import connection, delivery
from otel_backendai.otlp.exporter import OtlpLogExporter, OtlpSpanExporter
from otel_backendai.otlp.settings import Settings, read_settings
from tests.integration.conftest import free_port
from tests.integration.otlp_servers import Authority, Reply, Request, Server, raw_server, read_request, reset, serving
from tests.unit.otlp_records import log_record

SPAN = ReadableSpan("a span", SpanContext(1, 2, is_remote=False), resource=Resource({"service.name": "s"}))
OK, FAILED = SpanExportResult.SUCCESS, SpanExportResult.FAILURE


pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.fixture
def server() -> Iterator[Server]:
    """A receiver over plain HTTP."""
    with serving() as running:
        yield running


def exporter(url: str, **settings: Any) -> OtlpSpanExporter:
    """An exporter to ``url``; bounded by 30 s unless told."""
    return OtlpSpanExporter(Settings(f"{url}/v1/traces", **{"timeout": 30.0, **settings}))


def names(request: Request) -> list[str]:
    """The span names in an uncompressed request."""
    return names_in(request.body)


def names_in(body: bytes) -> list[str]:
    """The span names in a request's body."""
    message = ExportTraceServiceRequest.FromString(body)
    return [span.name for owner in message.resource_spans for scoped in owner.scope_spans for span in scoped.spans]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines of the log from warnings upwards."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_plain_export(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """POST to the endpoint, protobuf, uncompressed, no word in the log."""
    sender = exporter(server.url)
    assert sender.export([SPAN]) is OK
    sender.shutdown()
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/v1/traces")
    assert request.headers["content-type"] == "application/x-protobuf"
    assert "content-encoding" not in request.headers
    assert request.headers["user-agent"].startswith("otel-backendai/")
    assert names(request) == ["a span"]
    assert not warnings(caplog)


def test_logs_likewise(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """To their own path below the common endpoint."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{server.url}/base/")
    sender = OtlpLogExporter()
    assert sender.export([log_record(body="a line")]).name == "SUCCESS"
    assert sender.force_flush()
    sender.shutdown()
    (request,) = server.requests
    assert request.target == "/base/v1/logs"
    message = ExportLogsServiceRequest.FromString(request.body)
    assert message.resource_logs[0].scope_logs[0].log_records[0].body.string_value == "a line"


def test_the_settings_of_the_environment_reach_the_wire(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoint with query and credentials, headers, compression."""
    authority = f"user:p%40ss@127.0.0.1:{server.port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"http://{authority}/ingest?key=1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Tenant=one%2Ctwo, api-key = k=v==")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    sender = OtlpSpanExporter()
    assert sender.export([SPAN]) is OK
    sender.shutdown()
    (request,) = server.requests
    assert request.target == "/ingest?key=1"
    assert request.headers["x-tenant"] == "one,two"
    assert request.headers["api-key"] == "k=v=="
    assert request.headers["authorization"] == "Basic dXNlcjpwQHNz"
    assert request.headers["content-encoding"] == "gzip"
    assert names_in(gzip.decompress(request.body)) == ["a span"]


def test_deflate(server: Server) -> None:
    """HTTP's deflate is the zlib format."""
    sender = exporter(server.url, compression="deflate")
    assert sender.export([SPAN]) is OK
    sender.shutdown()
    assert names_in(zlib.decompress(server.requests[0].body)) == ["a span"]


def test_one_connection_for_all_exports(server: Server) -> None:
    """Keep-alive, also over an answer with a body and over a failure."""
    server.replies += [Reply(body=b"x" * 10_000), Reply(400, body=b"no"), Reply()]
    sender = exporter(server.url)
    assert [sender.export([SPAN]) for _ in range(3)] == [OK, FAILED, OK]
    sender.shutdown()
    assert len({request.peer for request in server.requests}) == 1


def test_a_connection_that_the_server_closed_meanwhile(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """It is replaced at once, and nobody hears of it."""
    server.replies += [Reply(close=True), Reply(close=True)]
    sender = exporter(server.url, timeout=0.5)  # shorter than any wait before another attempt
    for _ in range(3):
        assert sender.export([SPAN]) is OK
    sender.shutdown()
    assert len({request.peer for request in server.requests}) == 3
    assert not warnings(caplog)


def test_a_connection_that_was_idle_for_long(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is replaced before a request is trusted to it: a firewall may have forgotten it."""
    monkeypatch.setattr(connection, "_MAX_IDLE", -1.0)
    sender = exporter(server.url)
    assert [sender.export([SPAN]), sender.export([SPAN])] == [OK, OK]
    sender.shutdown()
    assert len({request.peer for request in server.requests}) == 2


def test_a_body_beyond_all_measure(server: Server) -> None:
    """It is not read to its end, and does not become the next answer."""
    server.replies += [Reply(body=b"HTTP/1.1 500 x\r\n" * 100_000)]
    sender = exporter(server.url)
    assert [sender.export([SPAN]), sender.export([SPAN])] == [OK, OK]
    sender.shutdown()
    assert len({request.peer for request in server.requests}) == 2


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_is_worth_another_attempt(status: int, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """The four statuses of the specification: the same batch again, after a pause."""
    server.replies += [Reply(status)]
    sender = exporter(server.url)
    assert sender.export([SPAN]) is OK
    sender.shutdown()
    assert [names(request) for request in server.requests] == [["a span"]] * 2
    assert not warnings(caplog)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 408, 413, 415, 500, 501])
def test_what_is_not(status: int, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Sent once and lost, redirects included, which would take headers elsewhere; one line says so."""
    server.replies += [Reply(status, {"Location": "/elsewhere"})]
    sender = exporter(server.url)
    assert sender.export([SPAN]) is FAILED
    sender.shutdown()
    assert len(server.requests) == 1
    (line,) = warnings(caplog)
    assert f"status {status}" in line


def http_date(seconds: float) -> str:
    """A time from now as HTTP writes it."""
    when = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return email.utils.format_datetime(when, usegmt=True)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after(form: str, server: Server) -> None:
    """Both forms are kept to: the second attempt is not earlier than the receiver wanted."""
    server.replies += [Reply(503, {"Retry-After": "2" if form == "seconds" else http_date(3)})]
    sender = exporter(server.url)
    before = time.monotonic()
    assert sender.export([SPAN]) is OK
    sender.shutdown()
    # A date has whole seconds.
    assert time.monotonic() - before >= 2 - 0.001
    assert len(server.requests) == 2


@pytest.mark.parametrize("value", ["3600", "9" * 5_000, http_date(86_400)], ids=["an hour", "for ever", "a day"])
def test_retry_after_beyond_the_time_out(value: str, server: Server) -> None:
    """The batch is given up at once: the receiver would not take it within our time."""
    server.replies += [Reply(503, {"Retry-After": value})]
    sender = exporter(server.url)
    assert sender.export([SPAN]) is FAILED
    sender.shutdown()
    assert len(server.requests) == 1


@pytest.mark.parametrize("value", ["soon", "", "-5", http_date(-60), "Wed, 99 Nov 2026 00:00:00 GMT", "0", "1e3"])
def test_retry_after_that_makes_no_sense(value: str, server: Server) -> None:
    """As if it were not there, or now."""
    server.replies += [Reply(503, {"Retry-After": value})]
    sender = exporter(server.url)
    assert sender.export([SPAN]) is OK
    sender.shutdown()


def test_shutdown_ends_a_wait(server: Server) -> None:
    """An exporter that waits for ten minutes returns when it is shut down, and sends nothing afterwards."""
    server.replies += [Reply(503, {"Retry-After": "600"})]
    sender = exporter(server.url, timeout=3600)
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(sender.export([SPAN])), daemon=True)
    thread.start()
    assert server.answered.wait(10)
    sender.shutdown()
    thread.join(30)
    assert results == [FAILED]
    assert sender.export([SPAN]) is FAILED
    assert len(server.requests) == 1


def test_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    """Failures within the time-out; one line for many of them, without the query and the credentials."""
    port = free_port()
    sender = OtlpSpanExporter(Settings(f"http://user:secret@127.0.0.1:{port}/p?token=secret", timeout=0.05))
    for _ in range(5):
        assert sender.export([SPAN]) is FAILED
    (line,) = warnings(caplog)
    assert f"http://127.0.0.1:{port}/p" in line
    assert "refused" in line
    assert "secret" not in caplog.text


def test_a_server_that_comes_up_late() -> None:
    """A refused connection is tried again."""
    port = free_port()
    sender = exporter(f"http://127.0.0.1:{port}")
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(sender.export([SPAN])), daemon=True)
    thread.start()
    received: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", port))
    listener.settimeout(20)
    with listener:
        accepted, _ = listener.accept()
        with accepted:
            received.append(read_request(accepted))
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            thread.join(20)
    sender.shutdown()
    assert results == [OK]
    assert received[0].startswith(b"POST /v1/traces HTTP/1.1\r\n")


def hang(accepted: socket.socket) -> None:
    """Read and never answer."""
    while accepted.recv(65536):
        pass


def drip(accepted: socket.socket) -> None:
    """Answer byte by byte, for ever."""
    read_request(accepted)
    accepted.sendall(b"HTTP/1.1 200 OK\r\nX-Endless: ")
    while True:
        accepted.sendall(b"x")
        time.sleep(0.02)


def deaf(accepted: socket.socket) -> None:
    """Accept, and read nothing."""
    threading.Event().wait(30)


@pytest.mark.parametrize("serve", [hang, drip, deaf], ids=lambda serve: serve.__name__)
def test_servers_that_take_for_ever(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The time-out ends it, whatever they do, and the batch is lost with one line in the log."""
    large = ReadableSpan("x" * 20_000_000, SPAN.context, resource=Resource({}))
    with raw_server(serve) as port:
        sender = exporter(f"http://127.0.0.1:{port}", timeout=0.5)
        thread = threading.Thread(target=sender.export, args=([large],), daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
        sender.shutdown()
    (line,) = warnings(caplog)
    assert "timed out" in line


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 500 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nbanana\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: banana\r\n\r\n",
    ],
    ids=["nothing", "HTTP/2", "SSH", "no status", "500 headers", "endless line", "no chunk", "no length"],
)
def test_answers_that_are_none(answer: bytes) -> None:
    """The export fails or succeeds, raises nothing, and the exporter is as good as before."""

    def serve(accepted: socket.socket) -> None:
        read_request(accepted)
        accepted.sendall(answer)
        accepted.close()

    with raw_server(serve) as port:
        sender = exporter(f"http://127.0.0.1:{port}", timeout=0.5)
        for _ in range(2):
            assert sender.export([SPAN]) in (OK, FAILED)
        sender.shutdown()


def test_a_grpc_receiver_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """A port of OTLP/gRPC, as Backend.AI's own configuration names it: one line says what to change."""
    receiver = grpc.server(futures.ThreadPoolExecutor(1))
    port = receiver.add_insecure_port("127.0.0.1:0")
    receiver.start()
    try:
        sender = exporter(f"http://127.0.0.1:{port}", timeout=0.5)
        assert sender.export([SPAN]) is FAILED
        sender.shutdown()
    finally:
        receiver.stop(None).wait(10)
    (line,) = warnings(caplog)
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in line
    assert "4318" in line


def test_a_receiver_that_cuts_every_connection(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """As gRPC servers in Go do: the line asks for the protocol, but not where HTTP was understood before."""

    def cut(accepted: socket.socket) -> None:
        read_request(accepted)
        reset(accepted)

    with raw_server(cut) as port:
        sender = exporter(f"http://127.0.0.1:{port}", timeout=0.5)
        assert sender.export([SPAN]) is FAILED
        sender.shutdown()
    (line,) = warnings(caplog)
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in line
    understood = exporter(server.url, timeout=0.5)
    assert understood.export([SPAN]) is OK
    server.cutting = True
    assert understood.export([SPAN]) is FAILED
    understood.shutdown()
    assert "grpc" not in warnings(caplog)[1]


def partial_success(rejected: int, message: str) -> bytes:
    """The body of an answer that takes not everything."""
    part = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    body: bytes = ExportTraceServiceResponse(partial_success=part).SerializeToString()
    return body


def test_a_partial_success(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """It is a success, never sent again; a line says how many were rejected and why."""
    server.replies += [Reply(body=partial_success(3, "too\nold")), Reply(body=partial_success(0, ""))]
    sender = exporter(server.url)
    assert [sender.export([SPAN]), sender.export([SPAN])] == [OK, OK]
    sender.shutdown()
    (line,) = warnings(caplog)
    assert "spans lost: 3" in line
    assert "too old" in line


@pytest.mark.parametrize(
    "body", [b"\xff" * 60_000, b"\x0a\xff\x01x", b"\x0a", b"\x0a\x02\x12\x05ab", b"\x08\x01", b"{}"]
)
def test_a_success_that_cannot_be_read(body: bytes, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """The status counts."""
    server.replies += [Reply(body=body)]
    sender = exporter(server.url)
    assert sender.export([SPAN]) is OK
    sender.shutdown()


def test_what_the_receiver_says_about_an_error(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """The text of its Status is in the line, shortened, and on one line."""
    body = Status(code=3, message="no\ntenant" + "!" * 5_000).SerializeToString()
    server.replies += [Reply(400, {"Content-Type": "application/x-protobuf"}, body)]
    sender = exporter(server.url)
    assert sender.export([SPAN]) is FAILED
    sender.shutdown()
    (line,) = warnings(caplog)
    assert "no tenant!!!" in line
    assert len(line) < 500


def test_it_does_not_trace_itself(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it sends, instrumentation of HTTP clients is suppressed, and afterwards it is not."""
    import http.client

    seen: list[bool] = []
    original = http.client.HTTPConnection.request

    def request(self: Any, *args: Any, **kwargs: Any) -> None:
        seen.append(is_instrumentation_enabled())
        original(self, *args, **kwargs)

    monkeypatch.setattr(http.client.HTTPConnection, "request", request)
    sender = exporter(server.url)
    assert sender.export([SPAN]) is OK
    sender.shutdown()
    assert seen == [False]
    assert is_instrumentation_enabled()


def test_a_batch_of_megabytes(server: Server) -> None:
    """Long attributes arrive whole."""
    spans = [
        ReadableSpan("s", SPAN.context, resource=Resource({}), attributes={"text": "x" * 1_000_000}) for _ in range(20)
    ]
    sender = exporter(server.url)
    assert sender.export(spans) is OK
    sender.shutdown()
    assert len(names(server.requests[0])) == 20


def test_spans_that_cannot_be_encoded(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """The others are sent, a line says how many are missing; with no other nothing is sent."""
    bad = ReadableSpan("no context", None, resource=Resource({}))
    sender = exporter(server.url)
    assert sender.export([bad, SPAN, bad]) is OK
    assert sender.export([bad]) is FAILED
    sender.shutdown()
    assert [names(request) for request in server.requests] == [["a span"]]
    assert "spans lost: 2" in warnings(caplog)[0]


def test_tls(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver whose authority is named is trusted; keep-alive and replacement work as without."""
    with serving(authority.context(), Reply(), Reply(close=True)) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.file)
        sender = OtlpSpanExporter()
        assert [sender.export([SPAN]) for _ in range(3)] == [OK, OK, OK]
        sender.shutdown()
        first, second, third = (request.peer for request in server.requests)
    assert first == second != third


def test_tls_of_a_stranger(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """Without its authority it is not trusted, gets nothing, and is not asked again."""
    with serving(authority.context()) as server:
        sender = exporter(server.url)
        assert sender.export([SPAN]) is FAILED
        sender.shutdown()
        assert not server.requests
    (line,) = warnings(caplog)
    assert "CERTIFICATE_VERIFY_FAILED" in line


def test_tls_of_another_host(authority: Authority) -> None:
    """The name is checked, too."""
    with serving(authority.context()) as server:
        sender = exporter(f"https://localhost:{server.port}", certificate=authority.file)
        assert sender.export([SPAN]) is FAILED
        sender.shutdown()
        assert not server.requests


@pytest.mark.parametrize("files", ["two", "one"])
def test_mutual_tls(files: str, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client certificate with its key in a file of its own or in the same."""
    with serving(authority.context(client_wanted=True)) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.file)
        if files == "two":
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", authority.client_certificate)
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", authority.client_key)
        else:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", authority.client_both)
        sender = OtlpSpanExporter()
        assert sender.export([SPAN]) is OK
        sender.shutdown()
        assert len(server.requests) == 1


def test_mutual_tls_without_a_certificate(authority: Authority) -> None:
    """The receiver's refusal is final."""
    with serving(authority.context(client_wanted=True)) as server:
        sender = exporter(server.url, certificate=authority.file)
        assert sender.export([SPAN]) is FAILED
        sender.shutdown()
        assert not server.requests


def test_tls_to_a_server_without(server: Server) -> None:
    """Not HTTPS at all: a failure like any other."""
    sender = exporter(server.url.replace("http:", "https:"))
    assert sender.export([SPAN]) is FAILED
    sender.shutdown()


def test_a_connection_that_is_reset_once(caplog: pytest.LogCaptureFixture) -> None:
    """In the middle of the first request: it is sent again over another one."""
    received: list[bytes] = []

    def serve(accepted: socket.socket) -> None:
        received.append(read_request(accepted))
        if len(received) == 1:
            reset(accepted)
        else:
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with raw_server(serve) as port:
        sender = exporter(f"http://127.0.0.1:{port}")
        assert sender.export([SPAN]) is OK
        sender.shutdown()
    assert len(received) == 2
    assert not warnings(caplog)


def test_several_threads(server: Server) -> None:
    """An SDK's simple processor exports from whichever thread ends a span: one at a time, none lost."""
    sender = exporter(server.url)
    with futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: sender.export([SPAN]), range(100)))
    sender.shutdown()
    assert set(results) == {OK}
    assert len(server.requests) == 100
    assert len({request.peer for request in server.requests}) == 1


def test_read_settings_is_what_the_exporter_uses(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-out of the environment bounds an export to a server that hangs."""
    with raw_server(hang) as port:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.3")
        assert read_settings("traces").timeout == 0.3
        sender = OtlpSpanExporter()
        assert sender.export([SPAN]) is FAILED
        sender.shutdown()


def test_a_receiver_that_answers_before_it_has_read_everything(caplog: pytest.LogCaptureFixture) -> None:
    """A body that is too large for it: the answer counts, although the connection is closed while we still send."""

    def refuse(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.close()

    large = ReadableSpan("x" * 20_000_000, SpanContext(1, 2, is_remote=False), resource=Resource({}))
    with raw_server(refuse) as port:
        sender = exporter(f"http://127.0.0.1:{port}", timeout=20.0)
        assert sender.export([large]) is FAILED
        sender.shutdown()
    assert len(warnings(caplog)) == 1
    assert [line for line in warnings(caplog) if "status 413" in line] == warnings(caplog)


def test_a_receiver_that_wants_to_be_left_alone(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """For longer than a batch may take: the batches after it do not ask either."""
    server.replies.append(Reply(429, {"Retry-After": "300"}))
    sender = exporter(server.url, timeout=5.0)
    assert [sender.export([SPAN]) for _ in range(3)] == [FAILED] * 3
    sender.shutdown()
    assert len(server.requests) == 1


def test_a_receiver_that_refuses_one_batch(server: Server) -> None:
    """For good: whatever `Retry-After` comes with it, the batches after it are sent."""
    server.replies.append(Reply(400, {"Retry-After": "300"}))
    sender = exporter(server.url, timeout=5.0)
    assert [sender.export([SPAN]) for _ in range(2)] == [FAILED, OK]
    sender.shutdown()


def test_a_receiver_that_wants_to_be_left_alone_for_ever(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again after some minutes."""
    monkeypatch.setattr(delivery, "_LONGEST_WAIT", 0.2)
    server.replies.append(Reply(503, {"Retry-After": "999999999999"}))
    sender = exporter(server.url, timeout=5.0)
    assert [sender.export([SPAN]) for _ in range(2)] == [FAILED, FAILED]
    time.sleep(0.3)
    assert sender.export([SPAN]) is OK
    sender.shutdown()
    assert len(server.requests) == 2
