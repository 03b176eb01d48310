# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

import asyncio
import gzip
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import aiohttp
import opentelemetry._logs
import pytest
from aiohttp import web
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # googleapis-common-protos has no stubs
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk import _logs as sdk_logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, SpanKind, set_span_in_context

from otel_backendai.desk.server import Desk, build_app
from otel_backendai.desk.store import Store

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
TRACE_ID = "5b8efff798038103d269b633813fc60c"
WAIT = 20.0


def traces_body(request_id: str = "req-1", name: str = "POST /session", trace_id: str = TRACE_ID) -> bytes:
    span = {
        "traceId": trace_id,
        "spanId": "eee19b7ec3c1b174",
        "name": name,
        "kind": 2,
        "startTimeUnixNano": "1700000000000000000",
        "endTimeUnixNano": "1700000000100000000",
        "attributes": [{"key": "backendai.request.id", "value": {"stringValue": request_id}}],
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "manager"}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}).encode()


@asynccontextmanager
async def running_desk(forward_to: str | None = None) -> AsyncIterator[tuple[Desk, aiohttp.ClientSession]]:
    desk = Desk(forward_to=forward_to)
    await desk.start()
    try:
        async with aiohttp.ClientSession(desk.url) as session:
            yield desk, session
    finally:
        await desk.stop()


@asynccontextmanager
async def plain_receiver(
    *statuses: int, arrived: asyncio.Event | None = None, headers: dict[str, str] | None = None
) -> AsyncIterator[tuple[str, list[tuple[str, str, bytes]]]]:
    """A receiver that notes (path, content encoding, raw body); it answers with ``statuses`` first, then with 200."""
    received: list[tuple[str, str, bytes]] = []
    answers = list(statuses)

    async def receive(request: web.Request) -> web.Response:
        received.append((request.path, request.headers.get("Content-Encoding", ""), await request.read()))
        if arrived is not None:
            arrived.set()
        return web.Response(status=answers.pop(0) if answers else 200, headers=headers)

    app = web.Application()
    app.router.add_post("/{path:.*}", receive)
    runner = web.AppRunner(app, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "http://{}:{}".format(*runner.addresses[0][:2]), received
    finally:
        await runner.cleanup()


def emit_log(loggers: LoggerProvider, span: Span, body: str) -> None:
    """A log record inside ``span``; the record class moved from the SDK to the API between the supported trains."""
    if hasattr(sdk_logs, "LogRecord"):
        record_class, more = sdk_logs.LogRecord, {"resource": loggers.resource}
    else:
        record_class, more = opentelemetry._logs.LogRecord, {}
    in_span = span.get_span_context()
    record = record_class(
        timestamp=time.time_ns(),
        trace_id=in_span.trace_id,
        span_id=in_span.span_id,
        trace_flags=in_span.trace_flags,
        severity_text="INFO",
        severity_number=SeverityNumber.INFO,
        body=body,
        **more,
    )
    loggers.get_logger("ai.backend").emit(record)


def export_with_official_exporter(url: str, compression: Compression) -> str:
    """Send a client span, a server span below it, and a log line inside each; the trace ID."""
    context, trace_id = Context(), 0
    for service, kind in (("client", SpanKind.CLIENT), ("manager", SpanKind.SERVER)):
        resource = Resource.create({"service.name": service})
        tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces", compression=compression)))
        loggers = LoggerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPLogExporter(f"{url}/v1/logs", compression=compression)
        loggers.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        span = tracers.get_tracer("test").start_span("POST", context, kind, {"backendai.request.id": "req-1"})
        span.set_attribute("sizes", [1, 2])
        context, trace_id = set_span_in_context(span, Context()), span.get_span_context().trace_id
        emit_log(loggers, span, f"in {service}")
        span.end()
        tracers.shutdown()
        loggers.shutdown()
    return f"{trace_id:032x}"


@pytest.mark.parametrize("compression", list(Compression), ids=lambda compression: compression.name)
async def test_official_exporter_to_every_query(compression: Compression) -> None:
    """What the official exporter sends, in each of its compressions, is in all answers: own, Jaeger's, services."""
    async with running_desk() as (desk, session):
        trace_id = await asyncio.to_thread(export_with_official_exporter, desk.url, compression)
        own = await (await session.get("/api/requests/req-1")).json()
        jaeger = await (await session.get(f"/api/traces/{trace_id}")).json()
        found = await (
            await session.get("/api/traces", params={"service": "manager", "tags": '{"backendai.request.id":"req-1"}'})
        ).json()
        services = await (await session.get("/api/services")).json()
        recent = await (await session.get("/api/requests")).json()
    assert [(span["service"], span["kind"]) for span in own["traces"][0]["spans"]] == [
        ("client", "client"),
        ("manager", "server"),
    ]
    assert own["traces"][0]["spans"][0]["span_id"] == own["traces"][0]["spans"][1]["parent_span_id"]
    assert [log["body"] for log in own["logs"]] == ["in client", "in manager"]
    assert [trace_id] * 2 == [log["trace_id"] for log in own["logs"]]
    assert found["data"] == jaeger["data"]
    assert {"client", "manager"} == {process["serviceName"] for process in jaeger["data"][0]["processes"].values()}
    tags = {tag["key"]: (tag["type"], tag["value"]) for tag in jaeger["data"][0]["spans"][0]["tags"]}
    assert tags["sizes"] == ("string", "[1,2]")
    assert services == {"data": ["client", "manager"], "total": 2, "limit": 0, "offset": 0, "errors": None}
    assert [request["request_id"] for request in recent["requests"]] == ["req-1"]


async def test_json_export_and_trace_view() -> None:
    """JSON, plain and compressed, is accepted with a JSON answer; a trace is also found by its own ID."""
    async with running_desk() as (_, session):
        plain = await session.post("/v1/traces", data=traces_body(), headers=JSON)
        assert (plain.status, plain.content_type, await plain.json()) == (200, "application/json", {})
        packed = gzip.compress(traces_body("req/2", trace_id="a" * 32))
        again = await session.post("/v1/traces", data=packed, headers={**JSON, "Content-Encoding": "gzip"})
        assert again.status == 200
        assert (await session.get("/api/requests/req%2F2")).status == 200
        view = await (await session.get(f"/api/trace-view/{TRACE_ID}")).json()
        assert (view["request_id"], view["traces"][0]["trace_id"]) == ("req-1", TRACE_ID)
        for path in ("/api/requests/req-9", f"/api/trace-view/{'b' * 32}"):
            assert (await session.get(path)).status == 404
        assert (await session.get("/api/requests?limit=x")).status == 400


async def test_metrics_are_taken_and_dropped() -> None:
    """A sender that exports metrics too is not told off."""
    async with running_desk() as (desk, session):
        answer = await session.post("/v1/metrics", data=b"\x0a\x00", headers=PROTOBUF)
        assert (answer.status, await answer.read()) == (200, b"")
        assert desk.store.span_count == 0


async def test_jaeger_errors_and_operations() -> None:
    """Jaeger's own forms: 400 and 404 with `data: null` and a code, 200 with `errors` for one missing of several."""
    async with running_desk() as (_, session):
        await session.post("/v1/traces", data=traces_body(trace_id="0" * 16 + "d269b633813fc60c"), headers=JSON)
        for path, code, message in (
            ("/api/traces", 400, "parameter 'service' is required"),
            ("/api/operations", 400, "parameter 'service' is required"),
            ("/api/traces/" + "f" * 32, 404, "trace not found"),
        ):
            answer = await session.get(path)
            body = await answer.json()
            assert (code, None, [{"code": code, "msg": message}]) == (answer.status, body["data"], body["errors"])
        stripped = await (await session.get("/api/traces/d269b633813fc60c")).json()
        assert stripped["data"][0]["traceID"] == "d269b633813fc60c"
        named = await (await session.get("/api/traces?traceID=d269b633813fc60c&traceID=1")).json()
        assert (len(named["data"]), named["errors"]) == (1, [{"msg": "trace not found", "traceID": "0" * 15 + "1"}])
        operations = await (await session.get("/api/operations?service=manager")).json()
        assert operations["data"] == [{"name": "POST /session", "spanKind": "server"}]
        names = await (await session.get("/api/services/manager/operations")).json()
        assert names["data"] == ["POST /session"]


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (JSON, b"{", 400),
        (JSON, b'{"resourceSpans": 5}', 400),
        (PROTOBUF, b"\xff\xff", 400),
        ({**PROTOBUF, "Content-Encoding": "gzip"}, b"no gzip", 400),
        ({**PROTOBUF, "Content-Encoding": "gzip"}, gzip.compress(bytes(65 * 1024 * 1024)), 413),
        ({**JSON, "Content-Encoding": "br"}, b"{}", 415),
        ({"Content-Type": "text/plain"}, b"{}", 415),
    ],
)
async def test_hostile_exports_are_refused(headers: dict[str, str], body: bytes, status: int) -> None:
    """Bad input is answered with a google.rpc.Status in the request's encoding, and the desk goes on."""
    async with running_desk() as (desk, session):
        answer = await session.post("/v1/traces", data=body, headers=headers)
        assert status == answer.status
        if headers["Content-Type"] == PROTOBUF["Content-Type"]:
            assert PROTOBUF["Content-Type"] == answer.content_type
            assert Status.FromString(await answer.read()).message
        else:
            assert {"code", "message"} == set(await answer.json())
        assert (await session.post("/v1/traces", data=traces_body(), headers=JSON)).status == 200
        assert desk.store.span_count == 1


async def test_body_that_is_announced_too_large_is_not_read() -> None:
    """A Content-Length beyond the bound is answered at once, before the body is sent."""
    async with running_desk() as (desk, _):
        reader, writer = await asyncio.open_connection(*desk.url.removeprefix("http://").split(":"))
        head = f"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {2**40}"
        writer.write(f"{head}\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.readline(), WAIT)
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:1", "http://127.0.0.1.evil.example"]
)
async def test_pages_of_other_sites_cannot_write(origin: str) -> None:
    """An export with the Origin of another site, also of another port of this machine, is refused and not stored."""
    async with running_desk() as (desk, session):
        answer = await session.post("/v1/traces", data=traces_body(), headers={**JSON, "Origin": origin})
        assert (answer.status, desk.store.span_count) == (403, 0)
        own = await session.post("/v1/traces", data=traces_body(), headers={**JSON, "Origin": desk.url})
        assert (own.status, desk.store.span_count) == (200, 1)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:4318", "localhost.evil.example", "", "127.0.0.1@evil", "[::1"]
)
@pytest.mark.parametrize("path", ["/", "/api/requests", "/api/services", "/healthz"])
async def test_foreign_host_names_are_refused(host: str, path: str) -> None:
    """A name that was made to resolve to loopback (DNS rebinding) reads nothing."""
    async with running_desk() as (_, session):
        assert (await session.get(path, headers={"Host": host})).status == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9999", "[::1]:4318", "[::1]"])
async def test_names_of_loopback_are_served(host: str) -> None:
    """Loopback's own names are served with any port, for tunnels."""
    async with running_desk() as (_, session):
        assert (await session.get("/api/requests", headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    "path", ["/", "/request/req%2F1", f"/trace/{TRACE_ID}", "/page/desk.js", "/api/requests", "/none"]
)
async def test_every_answer_has_the_security_headers(path: str) -> None:
    """Nothing foreign is loaded, nothing is framed, nothing is shared with other origins; errors included."""
    async with running_desk() as (_, session):
        answer = await session.get(path, headers={"Origin": "https://evil.example"})
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_page_files() -> None:
    """The page and its files are served with their types, and no path leads out of their directory."""
    async with running_desk() as (_, session):
        index = await session.get("/request/anything")
        assert (index.content_type, index.status) == ("text/html", 200)
        for name in ("desk.css", "desk.js", "waterfall.js"):
            assert (await session.get(f"/page/{name}")).status == 200
        for name in ("..%2fserver.py", "%2e%2e/server.py", "none.js"):
            assert (await session.get(f"/page/{name}")).status == 404


def test_page_writes_text_only() -> None:
    """No script of the page makes markup from text."""
    page = Path(sys.modules[Desk.__module__].__file__ or "").parent / "page"
    scripts = [path.read_text() for path in page.glob("*.js")]
    assert scripts
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "javascript:"):
        assert not [script for script in scripts if forbidden in script]


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium (Debian package chromium)")
async def test_hostile_names_in_a_browser(tmp_path: Path) -> None:
    """In a real browser a span name that is markup is shown as text, and the page draws the request."""
    hostile = "<img src=x onerror=\"document.title='owned'\">"
    async with running_desk() as (desk, session):
        await session.post("/v1/traces", data=traces_body(name=hostile), headers=JSON)
        browser = await asyncio.create_subprocess_exec(
            "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
            f"--user-data-dir={tmp_path}", "--virtual-time-budget=3000", "--dump-dom", f"{desk.url}/request/req-1",
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(browser.communicate(), 60)
    dom = output.decode()
    assert "&lt;img src=x onerror=" in dom
    assert "<img" not in dom
    assert "<title>req-1 · desk</title>" in dom


async def test_forwarding_copies_requests_in_order() -> None:
    """Accepted requests reach the other receiver raw, with their encoding, in order; refused ones do not."""
    packed = gzip.compress(traces_body("req-2"))
    async with plain_receiver() as (url, received), running_desk(url + "/") as (desk, session):
        await session.post("/v1/traces", data=traces_body(), headers=JSON)
        await session.post("/v1/traces", data=b"{", headers=JSON)
        await session.post("/v1/traces", data=packed, headers={**JSON, "Content-Encoding": "gzip"})
        await session.post("/v1/logs", data=b"{}", headers=JSON)
        assert await desk.drain(WAIT)
        assert desk.forwarder is not None
        assert (desk.forwarder.forwarded, desk.forwarder.forward_errors) == (3, 0)
    assert [("/v1/traces", "", traces_body()), ("/v1/traces", "gzip", packed), ("/v1/logs", "", b"{}")] == received


async def test_forwarding_tries_again() -> None:
    """Answers that ask for patience are retried three times; the order stays."""
    async with (
        plain_receiver(503, 429, 502, headers={"Retry-After": "0"}) as (url, received),
        running_desk(url) as (desk, session),
    ):
        await session.post("/v1/traces", data=traces_body("req-1"), headers=JSON)
        await session.post("/v1/traces", data=traces_body("req-2"), headers=JSON)
        assert await desk.drain(WAIT)
        assert desk.forwarder is not None
        assert (desk.forwarder.forwarded, desk.forwarder.forward_errors) == (2, 0)
    assert [traces_body("req-1")] * 4 + [traces_body("req-2")] == [body for _, _, body in received]


async def test_forwarding_makes_no_telemetry_of_its_own() -> None:
    """Beside instrumentation of aiohttp's client the copies make no spans, which would come back for ever."""
    spans = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    AioHttpClientInstrumentor().instrument(tracer_provider=provider)
    try:
        async with plain_receiver() as (url, received), running_desk(url) as (desk, _):
            urllib_request = Request(f"{desk.url}/v1/traces", traces_body(), JSON)
            (await asyncio.to_thread(urlopen, urllib_request, timeout=WAIT)).close()
            assert await desk.drain(WAIT)
    finally:
        AioHttpClientInstrumentor().uninstrument()
    assert len(received) == 1
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize(("statuses", "attempts"), [((400,), 1), ((503, 503, 503, 503), 4), ((302,), 1)])
async def test_forwarding_gives_up(statuses: tuple[int, ...], attempts: int) -> None:
    """What is refused for good, or four times, is counted with its reason; the next request is forwarded."""
    headers = {"Retry-After": "0", "Location": "/v1/elsewhere"}
    async with plain_receiver(*statuses, headers=headers) as (url, received), running_desk(url) as (desk, session):
        await session.post("/v1/traces", data=traces_body("req-1"), headers=JSON)
        await session.post("/v1/traces", data=traces_body("req-2"), headers=JSON)
        assert await desk.drain(WAIT)
        assert desk.forwarder is not None
        assert (desk.forwarder.forwarded, desk.forwarder.forward_errors) == (1, 1)
        assert f"/v1/traces: the receiver answered {statuses[0]}" == desk.forwarder.last_error
    assert attempts + 1 == len(received)


async def test_dead_receiver_costs_the_sender_nothing() -> None:
    """Nobody listens at the other end: exports are accepted all the same, drain says so, and stop does not hang."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with running_desk(url) as (desk, session):
            assert (await session.post("/v1/traces", data=traces_body(), headers=JSON)).status == 200
            assert not await desk.drain(0.05)


async def test_build_app_forwards_too() -> None:
    """The application by itself, in a server of somebody else, does what the desk does."""
    store, arrived = Store(), asyncio.Event()
    async with plain_receiver(arrived=arrived) as (url, received):
        runner = web.AppRunner(build_app(store, forward_to=url), auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with aiohttp.ClientSession("http://{}:{}".format(*runner.addresses[0][:2])) as session:
                await session.post("/v1/traces", data=traces_body(), headers=JSON)
                await asyncio.wait_for(arrived.wait(), WAIT)
        finally:
            await runner.cleanup()
    assert 1 == store.span_count == len(received)


async def test_desk_starts_on_ipv6_and_stops_twice() -> None:
    """The URL of an IPv6 address has brackets; stopping a stopped desk is no error; a port in use is an OSError."""
    desk = Desk()
    try:
        await desk.start("::1")
    except OSError:
        pytest.skip("no IPv6 loopback here")
    assert desk.url.startswith("http://[::1]:")
    with pytest.raises(OSError, match="in use"):
        await Desk().start("::1", int(desk.url.rpartition(":")[2]))
    await desk.stop()
    await desk.stop()


CLI = "from otel_backendai.cli.desk import desk; desk()"


def test_command_runs_until_a_signal() -> None:
    """`desk` says where it is, answers, and ends with status 0 on SIGTERM and on Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGINT):
        with subprocess.Popen(
            [sys.executable, "-c", CLI, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline().startswith("The desk is at http://127.0.0.1:")
            process.send_signal(number)
            assert process.wait(WAIT) == 0
            assert process.stderr.read() == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "70000"],
        ["--port", "http"],
        ["--port", "-1"],
        ["--host", "256.0.0.1", "--port", "0"],
        ["--port", "0", "--forward", "localhost:4318"],
        ["--port", "0", "--forward", "http://"],
        ["--port", "0", "--forward", "http://a\\b"],
        ["--port", "0000080000"],
        ["--port", "0", "--host", ""],
        ["--port", "0", "--host", "a..b"],
        ["--port", "0", "--host", "x" * 70],
    ],
)
def test_command_names_a_bad_argument(arguments: list[str]) -> None:
    """A bad port, address or URL is one sentence on stderr and status 2."""
    run = subprocess.run(
        [sys.executable, "-c", CLI, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stdout, len(run.stderr.splitlines())) == (2, "", 1)


def test_command_names_a_port_in_use() -> None:
    """A port in use is one sentence on stderr and status 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        run = subprocess.run(
            [sys.executable, "-c", CLI, "--port", port], capture_output=True, text=True, timeout=60, check=False
        )
    assert (2, f"Error: cannot listen at 127.0.0.1 port {port}: Address already in use\n") == (
        run.returncode,
        run.stderr,
    )


def test_desk_logs_nothing_at_rest(caplog: pytest.LogCaptureFixture) -> None:
    """A desk that nobody uses is silent: no log line, no task but the ones that wait."""

    async def rest() -> None:
        async with running_desk() as (_, session):
            del session
            await asyncio.sleep(0.2)

    with caplog.at_level(logging.DEBUG):
        asyncio.run(rest())
    assert [record for record in caplog.records if record.name.startswith(("aiohttp", "otel_backendai"))] == []
