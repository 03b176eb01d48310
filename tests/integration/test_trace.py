# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``otel-backendai trace`` as a user runs it: a process of its own against a real desk, by both of its interfaces."""

import asyncio
import json
import os
import pty
import shutil
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from otel_backendai.cli.trace_detection import open_source
from otel_backendai.cli.trace_http import http_session
from otel_backendai.cli.trace_source import SourceError
from otel_backendai.desk.model import LogLine, Span, SpanEvent
from otel_backendai.desk.server import Desk
from tests.integration.conftest import ServeApp, free_port

COMMAND = (sys.executable, "-c", "from otel_backendai.cli import main; main()", "trace")
OPENSSL = shutil.which("openssl")
TIMEOUT = 60
ID = "backendai.request.id"
TRACE_ID = "0" * 16 + "d269b633813fc60c"
MS = 10**6
FOLDER = "4f3c2b1a-0000-4000-8000-00000000abcd"
OF_OTHER = {"backendai.vfolder.id": FOLDER, "backendai.kernel.id": "kern-1"}
HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\n[red]x[/red]\u202e\x9b31m"

both_sources = pytest.mark.parametrize("source", ["desk", "jaeger"])


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    status: int
    output: str
    errors: str


async def start(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    """Start the command, with a proxy in its environment that nobody may ask."""
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "http_proxy": "http://127.0.0.1:9", **environment},
    )


async def run(*arguments: str, **environment: str) -> Ended:
    """Run the command to its end."""
    process = await start(*arguments, **environment)
    try:
        output, errors = await asyncio.wait_for(process.communicate(), TIMEOUT)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode or 0, output.decode(), errors.decode())


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A real desk on a free port."""
    running = Desk()
    await running.start()
    yield running
    await running.stop()


def span(number: int, parent: int = 0, at: int = 0, length: int = 1, **changes: Any) -> Span:
    start_ns = time.time_ns() // MS * MS - 10_000 * MS + at * MS
    made = Span(
        trace_id=TRACE_ID,
        span_id=f"{number:016x}",
        parent_span_id=f"{parent:016x}" if parent else "",
        name=f"step {number}",
        kind="server",
        start_ns=start_ns,
        end_ns=start_ns + length * MS,
        service="manager",
        attributes={ID: "req-1"},
        resource={"service.name": "manager"},
    )
    return replace(made, **changes)


def fill(desk: Desk) -> None:
    """A request of two traces with a failure, a gap and hostile texts, one log line, and a component beside it."""
    raised = SpanEvent(time.time_ns(), "exception", {"exception.type": "OSError", "exception.message": "disk full"})
    other = "a" * 32
    desk.store.add_spans(
        [
            span(1, length=100, attributes={ID: "req-1", "backendai.session.id": "sess-1"}),
            span(2, 1, 10, 50, service="agent", status="error", status_message=HOSTILE, events=(raised,)),
            span(3, 9, 70, 20, name=HOSTILE, service="storage-proxy"),
            span(4, 0, 200, trace_id=other, attributes={ID: "req-1", **OF_OTHER}),
            span(5, 0, 300, trace_id="b" * 32, attributes={ID: "req-2"}, service="wsproxy"),
        ]
    )
    desk.store.add_logs(
        [LogLine(time.time_ns(), "INFO", f"made {HOSTILE}", "agent", "x", TRACE_ID, f"{2:016x}", {ID: "req-1"})]
    )


def shape(output: str) -> list[str]:
    """The lines with single blanks, without guides, bars and log lines."""
    lines = [line.translate(str.maketrans("│├└─█", "     ")) for line in output.splitlines()]
    return [" ".join(line.split()) for line in lines if " INFO " not in line]


@both_sources
async def test_tree_of_a_request(desk: Desk, source: str) -> None:
    """All traces, both sources alike: failure with its text, gap, components reached and not; log lines of the desk."""
    fill(desk)
    ended = await run("req-1", "--source", source, "--endpoint", desk.url)
    assert (ended.status, ended.errors) == (0, "")
    lines = shape(ended.output)
    assert lines[0].startswith(f"trace {TRACE_ID} 3 spans, ")
    assert lines[0].endswith(", 1 gap, 1 failed")
    assert lines[2:7] == [
        "manager SERVER step 1 100.0 ms",
        "agent SERVER ERROR step 2 50.0 ms",
        "[2J ]0;owned [red]x[/red] 31m; OSError: disk full",
        "parent missing: span 0000000000000009 never arrived",
        "storage-proxy SERVER [2J ]0;owned [red]x[/red] 31m 20.0 ms",
    ]
    assert f"trace {'a' * 32} 1 span, " in lines[8]
    assert "b" * 32 not in ended.output
    assert lines[-3:-1] == ["reached: manager, agent, storage-proxy", "not reached: wsproxy"]
    assert "agent-watcher" in lines[-1]
    assert ("INFO  made" in ended.output) is (source == "desk")
    assert ended.output.replace("\n", "").isprintable()


@both_sources
@pytest.mark.parametrize(
    ("identifier", "found_as", "traces"),
    [
        ("req-1", "request", [TRACE_ID, "a" * 32]),
        (TRACE_ID, "trace", [TRACE_ID]),
        (TRACE_ID.upper(), "trace", [TRACE_ID]),
        (TRACE_ID.lstrip("0"), "trace", [TRACE_ID]),
        ("sess-1", "session", [TRACE_ID]),
        (FOLDER, "vfolder", ["a" * 32]),
        (FOLDER.replace("-", ""), "vfolder", ["a" * 32]),
        (f"user:{FOLDER.upper()}/{FOLDER.replace('-', '').upper()}", "vfolder", ["a" * 32]),
        ("kern-1", "kernel", ["a" * 32]),
    ],
)
async def test_json_by_every_kind_of_id(
    desk: Desk, source: str, identifier: str, found_as: str, traces: list[str]
) -> None:
    """One JSON object with the fields of the desk's model, by every kind of ID, in every spelling."""
    fill(desk)
    ended = await run(identifier, "--json", "--source", source, "--endpoint", desk.url)
    assert (ended.status, ended.errors) == (0, "")
    document = json.loads(ended.output)
    assert (document["id"], document["found_as"], document["source"]) == (identifier, found_as, source)
    assert (document["endpoint"].rstrip("/"), document["cut"]) == (desk.url, False)
    assert [trace["trace_id"] for trace in document["traces"]] == traces
    if traces[0] == TRACE_ID:
        first = document["traces"][0]
        assert first["gaps"] == [{"parent_span_id": f"{9:016x}", "span_ids": [f"{3:016x}"]}]
        assert [one["status"] for one in first["spans"]] == ["unset", "error", "unset"]
        assert first["spans"][2]["name"] == HOSTILE
        assert [line["body"] for line in document["logs"]] == ([f"made {HOSTILE}"] if source == "desk" else [])
        assert document["components"]["reached"] == ["manager", "agent", "storage-proxy"]
        assert document["components"]["not_reached"] == ["wsproxy"]


async def test_what_answers_is_detected(desk: Desk, serve: ServeApp) -> None:
    """Without --source a desk is asked as a desk, and what has only Jaeger's API as a Jaeger, below a path too."""
    fill(desk)
    assert json.loads((await run("req-1", "--json", "--endpoint", desk.url)).output)["source"] == "desk"
    app = web.Application()
    app.router.add_get("/ui/api/services", _answer({"data": None, "total": 0, "errors": None}))
    # Jaeger's page answers every other path.
    app.router.add_get("/ui/api/requests", _page)
    ended = await run("req-1", "--json", "--endpoint", f"{await serve(app)}/ui/")
    assert ended.status == 1
    assert json.loads(ended.output)["source"] == "jaeger"


@both_sources
async def test_nothing_found(desk: Desk, source: str) -> None:
    """Status 1 and one line that says where it looked, what to check, and which components are known there."""
    fill(desk)
    for identifier in ("req-0", "..", "a//b/", "x=y+z@w:1", "f" * 32):
        ended = await run(identifier, "--source", source, "--endpoint", desk.url)
        assert (ended.status, ended.output) == (1, "")
        assert ended.errors.count("\n") == 1
        for text in (identifier, desk.url, "24h", "--since", "sampling", "known here: agent, manager,"):
            assert text in ended.errors
    ended = await run("req-0", "--json", "--source", source, "--endpoint", desk.url)
    assert ended.status == 1
    assert (json.loads(ended.output)["traces"], json.loads(ended.output)["found_as"]) == ([], None)


@both_sources
async def test_since_and_limit(desk: Desk, source: str) -> None:
    """Older traces are left out, and of more traces than the limit the latest are shown, which is told."""
    traces = [span(1, at=number * 100, trace_id=f"{number + 1:032x}") for number in range(4)]
    old = span(2, at=-3_600_000, trace_id="c" * 32)
    desk.store.add_spans([old, *traces])
    ended = await run("req-1", "--json", "--since", "30m", "--source", source, "--endpoint", desk.url)
    found = [trace["trace_id"] for trace in json.loads(ended.output)["traces"]]
    assert found == [one.trace_id for one in traces]
    ended = await run("req-1", "--json", "--limit", "2", "--source", source, "--endpoint", desk.url)
    document = json.loads(ended.output)
    assert [trace["trace_id"] for trace in document["traces"]] == [one.trace_id for one in traces[-2:]]
    assert document["cut"] is True
    assert ended.errors == "Only the latest 2 traces are shown; --limit takes more.\n"


@both_sources
async def test_ten_thousand_spans(desk: Desk, source: str) -> None:
    """A request of ten thousand spans in five traces, deep and wide, is drawn with a row for each."""
    for trace in range(5):
        desk.store.add_spans(
            span(number + 1, number if number < 1_000 else number // 2, number, trace_id=f"{trace + 1:032x}")
            for number in range(2_000)
        )
    ended = await run("req-1", "--source", source, "--endpoint", desk.url)
    assert (ended.status, ended.errors) == (0, "")
    assert sum("█" in line and "manager" in line for line in ended.output.splitlines()) == 10_000


@both_sources
async def test_follow(desk: Desk, source: str) -> None:
    """Spans are printed once, as they arrive; Ctrl-C is its normal end."""
    process = await start("req-1", "--follow", "--json", "--source", source, "--endpoint", desk.url)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        told = await asyncio.wait_for(process.stderr.readline(), TIMEOUT)
        assert told.startswith(b"Following req-1 at ")
        for number in (1, 2):
            desk.store.add_spans([span(number, number - 1, number)])
            item = json.loads(await asyncio.wait_for(process.stdout.readline(), TIMEOUT))
            assert (item["type"], item["name"]) == ("span", f"step {number}")
        process.send_signal(signal.SIGINT)
        output, errors = await asyncio.wait_for(process.communicate(), TIMEOUT)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, output, errors) == (0, b"", b"")


async def test_follow_outlives_its_source(desk: Desk) -> None:
    """A source that goes away is told once and asked again; it prints on when it is back."""
    process = await start("req-1", "--follow", "--endpoint", desk.url)
    assert process.stdout is not None
    assert process.stderr is not None
    port = int(desk.url.rpartition(":")[2])
    try:
        await asyncio.wait_for(process.stderr.readline(), TIMEOUT)
        await desk.stop()
        told = await asyncio.wait_for(process.stderr.readline(), TIMEOUT)
        assert told.endswith(b"; trying again\n")
        fill(desk)
        desk.store.add_logs([LogLine(time.time_ns(), "INFO", "hello", "agent", attributes={ID: "req-1"})])
        again = Desk(store=desk.store)
        await again.start(port=port)
        lines = [await asyncio.wait_for(process.stdout.readline(), TIMEOUT) for _ in range(6)]
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), TIMEOUT)
        await again.stop()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = b"".join(lines).decode()
    assert text.replace("\n", "").isprintable()
    for part in ("manager  SERVER  step 1  100.0 ms", "agent  SERVER  ERROR  step 2", "disk full", "INFO  hello"):
        assert part in text
    assert (process.returncode, errors) == (0, b"")


async def test_colour_on_a_terminal_only(desk: Desk) -> None:
    """A terminal gets colours and its own width, and no escape sequence of anybody else; NO_COLOR takes them away."""
    fill(desk)
    coloured = await _on_terminal("req-1", "--endpoint", desk.url, NO_COLOR="")
    assert "\x1b[1mmanager\x1b[0m" in coloured
    for foreign in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\u202e"):
        assert foreign not in coloured
    plain = await _on_terminal("req-1", "--endpoint", desk.url, NO_COLOR="1")
    assert "\x1b" not in plain
    assert "manager  SERVER  step 1" in plain


async def test_terminal_without_the_letters(desk: Desk) -> None:
    """Where standard output cannot hold a bar, the tree comes with question marks instead of an error."""
    fill(desk)
    ended = await run("req-1", "--endpoint", desk.url, PYTHONIOENCODING="ascii")
    assert (ended.status, ended.errors) == (0, "")
    assert "manager  SERVER  step 1" in ended.output


@both_sources
async def test_questions_leave_no_traces(desk: Desk, source: str) -> None:
    """Also under OpenTelemetry's launcher, with its client instrumented, asking adds no span to what is asked."""
    fill(desk)
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "opentelemetry-instrument"),
        *(*COMMAND, "req-1", "--source", source, "--endpoint", desk.url),
        stdout=asyncio.subprocess.DEVNULL,
        env={
            **os.environ,
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": desk.url,
        },
    )
    assert await asyncio.wait_for(process.wait(), TIMEOUT) == 0
    assert desk.store.span_count == 5


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("two words",), "REQUEST_ID must be "),
        (("x" * 129,), "REQUEST_ID must be "),
        (("req\n1",), "REQUEST_ID must be "),
        (("req-1", "--source", "tempo"), "--source must be desk or jaeger"),
        (("req-1", "--endpoint", "ftp://127.0.0.1"), "--endpoint must be a URL like "),
        (("req-1", "--endpoint", "http://127.0.0.1:99999"), "--endpoint must be a URL like "),
        # As a browser shows the page of Jaeger.
        (("req-1", "--endpoint", "http://127.0.0.1:9/search?service=x"), "--endpoint must be a URL like "),
        (("req-1", "--endpoint", "http://127.0.0.1:9/#top"), "--endpoint must be a URL like "),
        (("req-1", "--since", "yesterday"), "--since must be a time like "),
        (("req-1", "--since", "0"), "--since must be a time like "),
        (("req-1", "--since", "99999999999h"), "--since must be a time like "),
        (("req-1", "--limit", "0"), "--limit must be a number "),
        (("req-1", "--limit", "many"), "--limit must be a number "),
        (("req-1", "--limit", "100000000"), "--limit must be a number "),
    ],
)
async def test_bad_arguments(arguments: tuple[str, ...], told: str) -> None:
    """What cannot be is refused in one sentence with status 2."""
    ended = await run(*arguments)
    assert (ended.status, ended.output) == (2, "")
    assert ended.errors.startswith(f"Error: {told}")
    assert ended.errors.count("\n") == 1


async def test_unreachable() -> None:
    """An endpoint where nobody is, is told at once with the reason, and without the password of its URL."""
    port = free_port()
    ended = await run("req-1", "--endpoint", f"http://user:secret@127.0.0.1:{port}")
    assert (ended.status, ended.output) == (2, "")
    assert ended.errors == f"Error: http://127.0.0.1:{port} cannot be reached: Connection refused\n"


def _answer(body: object, status: int = 200) -> Callable[[web.Request], Any]:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    return handler


async def _page(_: web.Request) -> web.Response:
    return web.Response(text="<html>", content_type="text/html")


async def test_wrong_kind_of_server(serve: ServeApp) -> None:
    """A server that is neither is named as such, whatever it answers; so is a Jaeger that is asked as a desk."""
    app = web.Application()
    app.router.add_get("/page/{path:.*}", _page)
    app.router.add_get("/list/{path:.*}", _answer([1]))
    app.router.add_get("/number/{path:.*}", _answer({"data": 5, "requests": 5}))
    app.router.add_get("/jaeger/api/services", _answer({"data": ["manager"]}))
    url = await serve(app)
    for arguments, told in (
        (("--endpoint", url), "is no desk and no Jaeger query API (it answered 404)"),
        (("--endpoint", f"{url}/page"), "is no desk and no Jaeger query API (it answered 200)"),
        (("--endpoint", f"{url}/list"), "is no desk and no Jaeger query API (it answered 200)"),
        (("--endpoint", f"{url}/number"), "is no desk and no Jaeger query API (it answered 200)"),
        (("--endpoint", f"{url}/jaeger", "--source", "desk"), "is no desk (it answered 404)"),
        (("--endpoint", f"{url}/page", "--source", "jaeger"), "is no Jaeger query API (it answered 200)"),
    ):
        ended = await run("req-1", *arguments)
        assert (ended.status, ended.output) == (2, "")
        assert ended.errors.startswith(f"Error: {url}")
        assert ended.errors.endswith(f" {told}\n")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            _answer({"data": None, "errors": [{"code": 500, "msg": "storage\x1b[2J is down"}]}, 500),
            "storage [2J is down",
        ),
        (_answer({"errors": "x"}, 503), "is no source of traces"),
        (_answer("text", 502), "answered 502 to /api/traces"),
        (_answer({"data": [{"traceID": "1"}]}), "is no source of traces"),
        (_answer({"data": [{"traceID": "1", "spans": [5], "processes": {}}]}), "is no source of traces"),
        (_page, "is no source of traces"),
    ],
)
async def test_source_that_fails(serve: ServeApp, answer: Callable[[web.Request], Any], told: str) -> None:
    """A Jaeger that cannot answer a search is told in one line, with its own words made harmless."""
    app = web.Application()
    app.router.add_get("/api/services", _answer({"data": ["manager", "agent"]}))
    app.router.add_get("/api/traces", answer)
    ended = await run("req-1", "--endpoint", await serve(app))
    assert (ended.status, ended.output) == (2, "")
    assert told in ended.errors
    assert ended.errors.count("\n") == 1
    assert ended.errors.rstrip("\n").isprintable()


async def test_jaeger_whose_storage_is_down(serve: ServeApp) -> None:
    """It is still taken for a Jaeger, and its own words are told."""
    app = web.Application()
    app.router.add_get("/api/services", _answer({"data": None, "errors": [{"code": 500, "msg": "no hosts"}]}, 500))
    url = await serve(app)
    ended = await run("req-1", "--endpoint", url)
    assert (ended.status, ended.output) == (2, "")
    assert ended.errors == f"Error: {url} answered 500 to /api/services: no hosts\n"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ('{"request_id": "req-1", "traces": [{"tra', "is no source of traces"),
        ("null", "is no source of traces"),
        ("<html>", "is no source of traces"),
        ("[]", "is no source of traces"),
        ('{"traces": {}, "logs": {}}', "is no source of traces"),
    ],
)
async def test_desk_that_answers_by_halves(serve: ServeApp, answer: str, told: str) -> None:
    """What a desk has broken off, or never says, is told; it is not taken for a request that nobody knows."""

    async def broken(_: web.Request) -> web.Response:
        return web.Response(text=answer, content_type="application/json")

    app = web.Application()
    app.router.add_get("/api/requests", _answer({"requests": []}))
    app.router.add_get("/api/services", _answer({"data": []}))
    app.router.add_get("/api/requests/req-1", broken)
    ended = await run("req-1", "--endpoint", await serve(app))
    assert (ended.status, ended.output, ended.errors.count("\n")) == (2, "", 1)
    assert told in ended.errors


async def test_numbers_that_no_json_has(serve: ServeApp) -> None:
    """`--json` prints JSON whatever numbers the source sends, NaN and those beyond all measure as texts."""
    body = json.dumps({"traces": [], "logs": [_LINE]}).replace('"DEEP"', "[1e999, -1E+999, NaN, Infinity, 0.5, 1e3]")

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    app = web.Application()
    app.router.add_get("/api/requests", _answer({"requests": []}))
    app.router.add_get("/api/services", _answer({"data": []}))
    app.router.add_get("/api/requests/req-1", answer)
    ended = await run("req-1", "--json", "--endpoint", await serve(app))
    assert (ended.status, ended.errors) == (0, "")
    (line,) = json.loads(ended.output, parse_constant=refuse)["logs"]
    assert line["attributes"] == {"a": ["1e999", "-1E+999", "NaN", "Infinity", 0.5, 1000.0]}


@pytest.mark.parametrize("more", [(), ("--follow",), ("--json",)])
async def test_reader_that_goes_away(desk: Desk, more: tuple[str, ...]) -> None:
    """A pager or ``head`` that has enough ends the command without a word."""
    # More than a pipe holds.
    desk.store.add_spans(span(number + 1, number // 2) for number in range(5_000))
    process = await start("req-1", "--endpoint", desk.url, *more)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        await asyncio.wait_for(process.stdout.read(10), TIMEOUT)
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]  # what a reader's end does
        errors = await asyncio.wait_for(process.stderr.read(), TIMEOUT)
        await asyncio.wait_for(process.wait(), TIMEOUT)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert b"Traceback" not in errors
    assert b"Error" not in errors


@pytest.mark.skipif(OPENSSL is None, reason="openssl makes the certificate")
async def test_certificate_that_nobody_signed(tmp_path: Path) -> None:
    """A server with one is told in one line."""
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    make = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost")
    made = await asyncio.create_subprocess_exec(
        OPENSSL or "", *make, "-keyout", str(key), "-out", str(certificate), stderr=asyncio.subprocess.DEVNULL
    )
    assert await made.wait() == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    ended = await run("req-1", "--endpoint", f"https://127.0.0.1:{port}")
    server.close()
    assert (ended.status, ended.output, ended.errors.count("\n")) == (2, "", 1)
    assert ended.errors.startswith(f"Error: https://127.0.0.1:{port} cannot be trusted: ")


async def test_interrupted_while_asking(serve: ServeApp) -> None:
    """Ctrl-C before the answer ends it quietly with the signal's status."""
    asked = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        asked.set()
        await asyncio.sleep(TIMEOUT)
        return web.Response()

    app = web.Application()
    app.router.add_get("/api/services", never)
    process = await start("req-1", "--source", "jaeger", "--endpoint", await serve(app))
    try:
        await asyncio.wait_for(asked.wait(), TIMEOUT)
        process.send_signal(signal.SIGINT)
        output, errors = await asyncio.wait_for(process.communicate(), TIMEOUT)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, output, errors) == (128 + signal.SIGINT, b"", b"")


async def _on_terminal(*arguments: str, **environment: str) -> str:
    """What the command writes to a terminal."""
    ours, theirs = pty.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120", **environment},
        )
        os.close(theirs)
        read = asyncio.create_task(asyncio.to_thread(_read_all, ours))
        assert await asyncio.wait_for(process.wait(), TIMEOUT) == 0
        return (await read).decode()
    finally:
        os.close(ours)


def _read_all(terminal: int) -> bytes:
    received = b""
    try:
        while chunk := os.read(terminal, 65536):
            received += chunk
    except OSError:
        # Linux says "input/output error" when the other end is closed.
        pass
    return received


@pytest.mark.parametrize(
    "arguments",
    [
        ("--endpoint", "http://a\\b"),
        ("--endpoint", "http://a..b"),
        ("--endpoint", "http://u:\u2603@host"),
        ("--limit", "0005001"),
        ("--limit", "0"),
    ],
)
async def test_arguments_that_no_library_takes(arguments: tuple[str, ...]) -> None:
    """One sentence, before anything is asked."""
    ended = await run("req-1", *arguments)
    assert (ended.status, ended.output, len(ended.errors.splitlines())) == (2, "", 1)
    assert f"{arguments[0]} must be" in ended.errors


async def test_an_answer_beyond_all_measure(serve: ServeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source, or what poses as one, cannot fill the memory of who asks: also not with a small compressed body."""
    monkeypatch.setattr("otel_backendai.cli.trace_http._LARGEST_ANSWER", 5_000_000)

    async def answer(request: web.Request) -> web.Response:
        response = web.Response(body=b" " * 50_000_000)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    url = await serve(app)
    async with http_session() as session:
        with pytest.raises(SourceError, match="answers with more than 4 MiB"):
            await open_source(session, None, url)


_LINE = {
    **dict.fromkeys(("severity", "body", "service", "logger", "trace_id", "span_id"), ""),
    **{"time_ns": time.time_ns(), "attributes": {"a": "DEEP"}, "resource": {}},
}


@pytest.mark.parametrize("depth", [90, 700, 990, 5_000])
async def test_values_that_are_nested_deeply(depth: int, serve: ServeApp) -> None:
    """They are shown, or a hostile source costs a sentence: how deep is too deep differs between Pythons."""
    # Written by hand: the encoder has a limit of its own.
    deep = '{"a":' * depth + "1" + "}" * depth
    body = json.dumps({"traces": [], "logs": [_LINE]}).replace('"DEEP"', deep)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/api/requests", _answer({"requests": []}))
    app.router.add_get("/api/services", _answer({"data": []}))
    app.router.add_get("/api/requests/req-1", answer)
    ended = await run("req-1", "--json", "--endpoint", await serve(app))
    assert (ended.status, len(ended.errors.splitlines())) in ([(0, 0)] if depth < 100 else [(0, 0), (2, 1)])


async def test_an_output_that_takes_nothing(serve: ServeApp) -> None:
    """A full disk is the user's to know, in one sentence."""
    app = web.Application()
    app.router.add_get("/api/requests", _answer({"requests": []}))
    app.router.add_get("/api/services", _answer({"data": []}))
    app.router.add_get("/api/requests/req-1", _answer({"traces": [], "logs": [_LINE]}))
    url = await serve(app)
    with Path("/dev/full").open("w") as full:  # noqa: ASYNC230  # a device
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "req-1", "--json", "--endpoint", url, stdout=full, stderr=asyncio.subprocess.PIPE
        )
        _, errors = await asyncio.wait_for(process.communicate(), TIMEOUT)
    assert (process.returncode, errors.decode()) == (2, "Error: cannot print: No space left on device\n")
