# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""HTTP in, on a real aiohttp server."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.trace import SpanKind, StatusCode

from otel_backendai.api import current_request_id
from otel_backendai.hops import http_server
from otel_backendai.hops.http_server import HOP
from otel_backendai.releases.entities import route_entities
from tests.conftest import Telemetry
from tests.integration.conftest import ServeApp, raw_request

RESPONSE_HEADER = "X-Backend-Request-ID"
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def build_app() -> web.Application:
    """A root application with two sub-applications, one below the other, and one handler of each kind."""
    routes = web.RouteTableDef()

    @routes.get("/ok")
    async def ok(request: web.Request) -> web.Response:
        logging.getLogger("app").info("in handler")
        return web.json_response({"request_id": current_request_id()})

    @routes.get("/baggage")
    async def current_baggage(request: web.Request) -> web.Response:
        return web.json_response(dict(baggage.get_all()))

    @routes.get("/items/{id}")
    async def item(request: web.Request) -> web.Response:
        return web.Response(text=request.match_info["id"])

    @routes.get("/missing")
    async def missing(request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    @routes.get("/bug")
    async def bug(request: web.Request) -> web.Response:
        raise ValueError("a bug")

    @routes.get("/stream")
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=201)
        await response.prepare(request)
        for _ in range(3):
            await response.write(b"chunk")
        await response.write_eof()
        return response

    @routes.post("/upload")
    async def upload(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    @routes.get("/ws")
    async def ws(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(current_request_id() or "")
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    @routes.get("/endless/{session_name}")
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=206)
        await response.prepare(request)
        await response.write(b"first")
        await asyncio.sleep(30)
        return response

    @routes.get("/slow")
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    root = web.Application(client_max_size=1000)
    root.add_routes(routes)
    nested = web.Application()
    nested.router.add_get("/deep", ok)
    sub = web.Application()
    sub.router.add_get("/flat", ok)
    sub.add_subapp("/nested", nested)
    root.add_subapp("/sub", sub)
    return root


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A client session."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/ok", 200, "GET /ok"),
        ("GET", "/items/42", 200, "GET /items/{id}"),
        ("GET", "/sub/flat", 200, "GET /sub/flat"),
        ("GET", "/sub/nested/deep", 200, "GET /sub/nested/deep"),
        ("GET", "/stream", 201, "GET /stream"),
        ("GET", "/missing", 404, "GET /missing"),
        ("GET", "/nowhere/at/all", 404, "GET"),
        ("DELETE", "/ok", 405, "DELETE"),
        ("POST", "/upload", 413, "POST /upload"),
        ("GET", "/bug", 500, "GET /bug"),
    ],
)
async def test_every_request_has_one_server_span_and_every_response_the_header(
    telemetry: Telemetry,
    serve: ServeApp,
    client: aiohttp.ClientSession,
    method: str,
    path: str,
    status: int,
    name: str,
) -> None:
    """One SERVER span, named by the route's template, and the inbound request ID on it and on the response."""
    base = await serve(build_app())
    body = b"x" * 5000 if method == "POST" else None
    async with client.request(method, base + path, headers={"X-Request-ID": "req-123"}, data=body) as response:
        await response.read()
        assert response.status == status
        assert response.headers.getall(RESPONSE_HEADER) == ["req-123"]
    span = telemetry.only(SpanKind.SERVER)
    assert span.name == name
    assert span.attributes is not None
    assert span.attributes["backendai.request.id"] == "req-123"
    assert span.attributes["http.request.method"] == method
    assert span.attributes["http.response.status_code"] == status
    assert span.attributes["url.path"] == path
    assert span.attributes["url.scheme"] == "http"
    assert span.attributes.get("http.route") == (name.partition(" ")[2] or None)
    assert span.status.status_code is (StatusCode.ERROR if status == 500 else StatusCode.UNSET)


async def test_the_span_of_a_bug_names_the_exception(
    telemetry: Telemetry, serve: ServeApp, client: aiohttp.ClientSession
) -> None:
    """The client gets a bare 500; the operator gets the exception of the handler."""
    base = await serve(build_app())
    async with client.get(base + "/bug") as response:
        assert response.status == 500
    span = telemetry.only(SpanKind.SERVER)
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ValueError"
    assert span.status.description == "a bug"
    assert [event.name for event in span.events] == ["exception"]


async def test_a_websocket_upgrade_answers_the_header_and_runs_in_the_request(
    telemetry: Telemetry, serve: ServeApp, client: aiohttp.ClientSession
) -> None:
    """The 101 response names the request ID, and the socket's handler runs under it until it is closed."""
    base = await serve(build_app())
    async with client.ws_connect(base + "/ws", headers={"X-Backend-Request-ID": "ws-1"}) as socket:
        assert socket._response.headers[RESPONSE_HEADER] == "ws-1"
        assert await socket.receive_str() == "ws-1"
        assert not telemetry.of_kind(SpanKind.SERVER)
    await asyncio.sleep(0.1)
    span = telemetry.only(SpanKind.SERVER)
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 101
    assert span.attributes["backendai.request.id"] == "ws-1"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-ID: evil\x00null\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    ],
)
async def test_a_malformed_request_gets_its_400_with_a_request_id(
    telemetry: Telemetry, serve: ServeApp, request_bytes: bytes
) -> None:
    """What aiohttp cannot parse is answered as without us, under a new request ID, with one SERVER span."""
    base = await serve(build_app())
    answer = await raw_request(base, request_bytes)
    head = answer.split(b"\r\n\r\n")[0].decode()
    assert " 400 " in head.splitlines()[0]
    minted = re.search(rf"(?im)^{RESPONSE_HEADER}: ({UUID4.pattern})\r?$", head)
    assert minted, head
    span = telemetry.only(SpanKind.SERVER)
    assert span.attributes is not None
    assert span.attributes["backendai.request.id"] == minted[1]


HOSTILE = {
    "4 kB": b"X-Request-ID: " + b"a" * 4096,
    "empty": b"X-Request-ID: ",
    "not ASCII": "X-Request-ID: réq".encode(),
    "not UTF-8": b"X-BackendAI-RequestID: \xff\xfe",
    "blank inside": b"X-Request-ID: a b",
    "folded line": b"X-Request-ID: a\r\n b",
    "duplicates": b"X-Request-ID: one\r\nX-Request-ID: two",
    "markup": b"X-Request-ID: <script>",
    "log injection": b"X-Request-ID: a%0d%0ab",
}


@pytest.mark.parametrize("header", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_request_id_is_replaced(
    telemetry: Telemetry, serve: ServeApp, caplog: pytest.LogCaptureFixture, header: bytes
) -> None:
    """A request ID that is not acceptable is treated as absent: a new UUID4, and no trace of the hostile text."""
    base = await serve(build_app())
    caplog.set_level(logging.DEBUG)
    answer = await raw_request(base, b"GET /ok HTTP/1.1\r\nHost: x\r\n" + header + b"\r\nConnection: close\r\n\r\n")
    found = re.findall(rf"(?im)^{RESPONSE_HEADER}: (.*?)\r?$", answer.split(b"\r\n\r\n")[0].decode("latin-1"))
    assert len(found) == 1
    assert UUID4.fullmatch(found[0]), found
    span = telemetry.only(SpanKind.SERVER)
    assert span.attributes is not None
    assert span.attributes["backendai.request.id"] == found[0]
    if " 200 " in answer.decode("latin-1").splitlines()[0]:
        assert span.attributes["backendai.request.origin.detail"] == "http"
        records = [record for record in caplog.records if record.name == "app"]
        assert [record.__dict__["request_id"] for record in records] == [found[0]]


async def test_the_first_acceptable_header_wins(
    telemetry: Telemetry, serve: ServeApp, client: aiohttp.ClientSession
) -> None:
    """Order: X-Request-ID, X-Backend-Request-ID, X-BackendAI-RequestID, baggage; a hostile one does not count."""
    base = await serve(build_app())
    offers = [
        ({"X-Request-ID": "a", "X-Backend-Request-ID": "b", "X-BackendAI-RequestID": "c"}, "a"),
        ({"X-Request-ID": "not ok", "X-Backend-Request-ID": "b", "X-BackendAI-RequestID": "c"}, "b"),
        ({"X-BackendAI-RequestID": "c", "baggage": "backendai.request.id=d"}, "c"),
        ({"baggage": "backendai.request.id=d"}, "d"),
    ]
    for headers, expected in offers:
        async with client.get(base + "/ok", headers=headers) as response:
            assert response.headers[RESPONSE_HEADER] == expected
            assert (await response.json())["request_id"] == expected


async def test_the_span_continues_the_callers_trace(
    telemetry: Telemetry, serve: ServeApp, client: aiohttp.ClientSession
) -> None:
    """The SERVER span is a child of the span that `traceparent` names."""
    base = await serve(build_app())
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with client.get(base + "/sub/nested/deep", headers={"traceparent": parent}):
        pass
    span = telemetry.only(SpanKind.SERVER)
    assert span.context is not None
    assert span.parent is not None
    assert trace.format_trace_id(span.context.trace_id) == "0af7651916cd43dd8448eb211c80319c"
    assert trace.format_span_id(span.parent.span_id) == "b7ad6b7169203331"


async def test_requests_of_one_connection_do_not_share_anything(telemetry: Telemetry, serve: ServeApp) -> None:
    """Keep-alive: each request of a connection has its own ID and its own trace."""
    base = await serve(build_app())
    one = b"GET /ok HTTP/1.1\r\nHost: x\r\nX-Request-ID: first\r\n\r\n"
    two = b"GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = (await raw_request(base, one + two)).decode()
    ids = re.findall(rf"(?im)^{RESPONSE_HEADER}: (.*?)\r?$", answer)
    assert ids[0] == "first"
    assert UUID4.fullmatch(ids[1])
    first, second = telemetry.of_kind(SpanKind.SERVER)
    assert first.context is not None
    assert second.context is not None
    assert first.context.trace_id != second.context.trace_id


async def test_a_client_that_goes_away_ends_the_span_without_error(telemetry: Telemetry, serve: ServeApp) -> None:
    """Cancellation by the caller is not an error: the span ends, unset, without a status code."""
    base = await serve(build_app())
    async with aiohttp.ClientSession() as session:
        with pytest.raises(TimeoutError):
            await session.get(base + "/slow", timeout=aiohttp.ClientTimeout(total=0.2))
    for _ in range(50):
        if telemetry.of_kind(SpanKind.SERVER):
            break
        await asyncio.sleep(0.02)
    span = telemetry.only(SpanKind.SERVER)
    assert span.attributes is not None
    assert span.status.status_code is StatusCode.UNSET
    assert "error.type" not in span.attributes
    assert "http.response.status_code" not in span.attributes


async def test_a_client_that_leaves_a_stream_has_seen_its_status(telemetry: Telemetry, serve: ServeApp) -> None:
    """Most streams and many WebSockets end by the caller: route and status of the response that began are known."""
    base = await serve(build_app())
    async with aiohttp.ClientSession() as session, session.get(base + "/endless/main") as response:
        assert await response.content.readany() == b"first"
        response.close()
    for _ in range(50):
        if telemetry.of_kind(SpanKind.SERVER):
            break
        await asyncio.sleep(0.02)
    span = telemetry.only(SpanKind.SERVER)
    assert span.name == "GET /endless/{session_name}"
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 206
    assert span.status.status_code is StatusCode.UNSET


async def test_the_variables_of_a_route_name_entities(
    telemetry: Telemetry, serve: ServeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request about a session is found by the session's ID, also one that its client gives up."""
    monkeypatch.setattr(http_server, "entities_of", route_entities)
    base = await serve(build_app())
    session_id = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    async with aiohttp.ClientSession() as session, session.get(f"{base}/endless/{session_id}") as response:
        response.close()
    for _ in range(50):
        if telemetry.of_kind(SpanKind.SERVER):
            break
        await asyncio.sleep(0.02)
    attributes = telemetry.only(SpanKind.SERVER).attributes
    assert attributes is not None
    assert attributes["backendai.session.id"] == session_id


async def test_an_application_older_than_the_plugin_is_covered(serve: ServeApp) -> None:
    """A server that runs already, and its open connections, are covered from the next request on."""
    base = await serve(build_app())
    async with aiohttp.ClientSession() as session:
        async with session.get(base + "/ok") as response:
            assert RESPONSE_HEADER not in response.headers
        telemetry = Telemetry()
        HOP.install(telemetry.provider)
        try:
            async with session.get(base + "/ok", headers={"X-Request-ID": "later"}) as response:
                assert response.headers[RESPONSE_HEADER] == "later"
            assert telemetry.only(SpanKind.SERVER)
        finally:
            HOP.uninstall()


async def test_health_checks_make_no_span_but_answer_the_header(
    telemetry: Telemetry, serve: ServeApp, client: aiohttp.ClientSession
) -> None:
    """Probes are noise: no SERVER span; the response still names a request ID."""

    async def health(request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/health", health)
    base = await serve(app)
    async with client.get(base + "/health", headers={"X-Request-ID": "probe"}) as response:
        assert response.headers[RESPONSE_HEADER] == "probe"
    assert not telemetry.of_kind(SpanKind.SERVER)


@pytest.mark.parametrize("traced", [False, True], ids=["by itself", "in a trace"])
@pytest.mark.parametrize("path", ["/health", "/status"])
async def test_a_health_check_that_fails_is_a_span(
    path: str, traced: bool, telemetry: Telemetry, serve: ServeApp, client: aiohttp.ClientSession
) -> None:
    """With route, status and exception, below the caller's span if that is sampled."""

    async def unhealthy(request: web.Request) -> web.Response:
        return web.Response(status=503)

    async def raising(request: web.Request) -> web.Response:
        raise LookupError("gone")

    app = web.Application()
    app.router.add_get("/health", unhealthy)
    app.router.add_get("/status", raising)
    headers = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"} if traced else {}
    async with client.get(await serve(app) + path, headers=headers) as response:
        status = response.status
    span = telemetry.only(SpanKind.SERVER)
    assert span.name == f"GET {path}"
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == status
    assert span.attributes["error.type"] == ("503" if status == 503 else "LookupError")
    assert span.status.status_code is StatusCode.ERROR
    assert (span.parent.span_id if span.parent else 0) == (int("b" * 16, 16) if traced else 0)


async def test_what_is_sent_to_the_path_of_a_health_check_is_work(
    telemetry: Telemetry, serve: ServeApp, client: aiohttp.ClientSession
) -> None:
    """Probes ask and scrapers ask; nothing is noise that may change something."""

    async def change(request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post("/health", change)
    async with client.post(await serve(app) + "/health"):
        pass
    assert telemetry.only(SpanKind.SERVER).name == "POST /health"


async def test_a_header_of_the_application_stays(
    telemetry: Telemetry, serve: ServeApp, client: aiohttp.ClientSession
) -> None:
    """The application's own X-Backend-Request-ID is not replaced."""

    async def own(request: web.Request) -> web.Response:
        return web.Response(headers={RESPONSE_HEADER: "mine"})

    app = web.Application()
    app.router.add_get("/", own)
    async with client.get(await serve(app)) as response:
        assert response.headers.getall(RESPONSE_HEADER) == ["mine"]


@pytest.mark.parametrize(
    ("component", "marker", "believed"),
    [
        ("storage-proxy", "X-BackendAI-Storage-Auth-Token", True),
        ("appproxy-coordinator", "X-BackendAI-Token", True),
        ("wsproxy", "X-BackendAI-Token", True),
        ("agent-watcher", "X-BackendAI-Watcher-Token", True),
        ("storage-proxy", "X-BackendAI-Watcher-Token", False),
        ("manager", "X-BackendAI-Token", False),
        ("appproxy-worker", "X-BackendAI-Token", False),
    ],
)
async def test_baggage_comes_in_from_peers_only(
    component: str, marker: str, believed: bool, telemetry: Telemetry, serve: ServeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may call a public API, and baggage travels on to every peer: all of it only where a secret is checked."""
    monkeypatch.setattr("otel_backendai.hops.peers.component", lambda: component)
    base = await serve(build_app())
    headers = {"baggage": "tenant=blue,backendai.request.id=req-1,x=y"}
    async with aiohttp.ClientSession() as session:
        async with session.get(base + "/baggage", headers=headers) as response:
            assert await response.json() == {"backendai.request.id": "req-1"}
        async with session.get(
            base + "/baggage", headers={"baggage": "tenant=blue", "X-Request-ID": "req-2"}
        ) as response:
            assert await response.json() == {"backendai.request.id": "req-2"}
        async with session.get(base + "/baggage", headers={**headers, marker: "secret"}) as response:
            rest = {"tenant": "blue", "x": "y"} if believed else {}
            assert await response.json() == {"backendai.request.id": "req-1", **rest}


async def test_tokens_in_paths_are_redacted(telemetry: Telemetry, serve: ServeApp) -> None:
    """The app-proxy has its token in the path: /v2/proxy/TOKEN/SESSION/add."""
    base = await serve(build_app())
    async with aiohttp.ClientSession() as session, session.get(base + "/eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln/s"):
        pass
    attributes = telemetry.only(SpanKind.SERVER).attributes
    assert attributes is not None
    assert attributes["url.path"] == "/REDACTED/s"


def build_streams() -> web.Application:
    """Handlers that are in the middle of an answer for a while."""
    routes = web.RouteTableDef()

    @routes.get("/download/{id}")
    async def download(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(200):
            await response.write(b"x" * 10_000)
            await asyncio.sleep(0.005)
        return response

    @routes.get("/ws/{id}")
    async def ws(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for _ in range(200):
            await socket.send_str("x" * 1_000)
            await asyncio.sleep(0.005)
        return socket

    @routes.get("/broken/{id}")
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        # As an application does that leaves a span of its own current.
        context_api.attach(trace.set_span_in_context(trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)))
        raise ValueError("in the middle")

    app = web.Application()
    app.add_routes(routes)
    return app


@pytest.mark.parametrize("cancelling", [False, True], ids=["aiohttp's default", "handler_cancellation"])
@pytest.mark.parametrize(("path", "status"), [("download", 200), ("ws", 101)])
async def test_a_caller_that_leaves_in_the_middle(
    path: str, status: int, cancelling: bool, serve: ServeApp, telemetry: Telemetry
) -> None:
    """No failure: the span has its route and the status that went out, however aiohttp ends the handler."""
    base = await serve(build_streams(), cancelling)
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    host, port = base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /{path}/7 HTTP/1.1\r\nHost: h\r\n{upgrade if path == 'ws' else ''}\r\n".encode())
    await reader.readexactly(100)
    writer.transport.abort()
    deadline = asyncio.get_running_loop().time() + 10
    while not telemetry.of_kind(SpanKind.SERVER):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    (span,) = telemetry.of_kind(SpanKind.SERVER)
    assert span.name == f"GET /{path}/{{id}}"
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == status
    assert span.status.status_code is StatusCode.UNSET
    assert not span.events


async def test_a_handler_that_fails_in_the_middle(serve: ServeApp, telemetry: Telemetry) -> None:
    """Its own exception, once, on the request's span, although another one was left current."""
    base = await serve(build_streams(), False)
    await raw_request(base, b"GET /broken/7 HTTP/1.1\r\nHost: h\r\n\r\n")
    (span,) = telemetry.of_kind(SpanKind.SERVER)
    assert span.name == "GET /broken/{id}"
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ValueError"
    assert span.attributes["http.response.status_code"] == 200
    assert [(event.attributes or {})["exception.message"] for event in span.events] == ["in the middle"]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"GET /ok HTTP/1.0\r\n\r\n", {}),
        (b"GET /ok HTTP/1.1\r\nHost: manager:8081\r\n\r\n", {"server.address": "manager", "server.port": 8081}),
        (b"GET /ok HTTP/1.1\r\nHost: manager\r\n\r\n", {"server.address": "manager"}),
        (b"GET /ok HTTP/1.1\r\nHost: [::1]:8081\r\n\r\n", {"server.address": "::1", "server.port": 8081}),
        (b"GET /ok HTTP/1.1\r\nHost: [::1]\r\n\r\n", {"server.address": "::1"}),
        (b"GET /ok HTTP/1.1\r\nHost: ::1\r\n\r\n", {"server.address": "::1"}),
        (b"GET /ok HTTP/1.1\r\nHost: manager:99999\r\n\r\n", {"server.address": "manager"}),
        (b"GET /ok HTTP/1.1\r\nHost:\r\n\r\n", {}),
        (b"GET /ok HTTP/1.1\r\nHost: :8081\r\n\r\n", {}),
    ],
)
async def test_the_name_service_is_never_asked(
    head: bytes, expected: dict[str, object], serve: ServeApp, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp up to 3.13 asks it for its own name, and waits, when a client sends no `Host`: anybody can."""

    def ask(*_: object) -> str:
        raise AssertionError("the loop waits for the name service")

    monkeypatch.setattr("socket.getfqdn", ask)
    await raw_request(await serve(build_app()), head)
    (span,) = telemetry.of_kind(SpanKind.SERVER)
    assert {name: value for name, value in (span.attributes or {}).items() if name.startswith("server.")} == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/ok?limit=20&token=SECRET&q=a%20b", "limit=20&token=REDACTED&q=a%20b"),
        ("/ok?token=SECRET", "token=REDACTED"),
        (f"/ok?q={'x' * 1020}&token=SECRET", f"q={'x' * 1020}&t"),
        ("/ok?", None),
        ("/ok", None),
    ],
)
async def test_query_and_client(target: str, expected: str | None, serve: ServeApp, telemetry: Telemetry) -> None:
    """A query as it came, if there is one, without secrets, and bounded; and who sent it, not who says to have."""
    head = f"GET {target} HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.0.0.1\r\nConnection: close\r\n\r\n"
    await raw_request(await serve(build_app()), head.encode())
    attributes = telemetry.only(SpanKind.SERVER).attributes
    assert attributes is not None
    assert attributes.get("url.query") == expected
    assert attributes["client.address"] == "127.0.0.1"


async def test_a_server_on_a_unix_socket(telemetry: Telemetry, tmp_path: Path) -> None:
    """Its clients have no address."""
    runner = web.AppRunner(build_app())
    await runner.setup()
    try:
        await web.UnixSite(runner, str(tmp_path / "s")).start()
        connector = aiohttp.UnixConnector(str(tmp_path / "s"))
        async with aiohttp.ClientSession(connector=connector) as session, session.get("http://h/ok") as response:
            assert response.status == 200
    finally:
        await runner.cleanup()
    attributes = telemetry.only(SpanKind.SERVER).attributes
    assert attributes is not None
    assert "client.address" not in attributes


HOSTILE_BAGGAGE = [",".join(f'h{number}"=1' for number in range(150)), f"h={'HOSTILE' * 1000}", "HOSTILE TEXT=1,a=b;@"]
HOSTILE_TRACE_STATES = ["HOSTILE TEXT", "9hostile=1", "a=1,a=HOSTILE", f"hostile={'v' * 300}"]


@pytest.mark.parametrize("marker", ["X-BackendAI-Storage-Auth-Token", "X-Other"], ids=["from a peer", "from anybody"])
async def test_hostile_headers_are_not_in_the_log(
    marker: str,
    serve: ServeApp,
    telemetry: Telemetry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stock propagators quote what they cannot read, a line for each of 180 members, for anybody who asks."""
    monkeypatch.setattr("otel_backendai.hops.peers.component", lambda: "storage-proxy")
    base = await serve(build_app())
    head = f"GET /baggage HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{marker}: 1\r\n"
    head += f"traceparent: 00-{'a' * 32}-{'b' * 16}-01\r\n"
    hostile = [f"baggage: {value}\r\n" for value in HOSTILE_BAGGAGE]
    hostile += [f"tracestate: {value}\r\n" for value in HOSTILE_TRACE_STATES]
    hostile.append("tracestate: a=1\r\ntracestate: a=2\r\n")
    for lines in hostile:
        assert b"200 OK" in await raw_request(base, f"{head}{lines}\r\n".encode())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    spans = telemetry.of_kind(SpanKind.SERVER)
    assert [format(span.context.trace_id, "032x") for span in spans] == ["a" * 32] * len(hostile)


async def test_a_trace_state_travels(serve: ServeApp, telemetry: Telemetry) -> None:
    """A well-formed one stays what it is."""
    head = f"GET /ok HTTP/1.1\r\nHost: h\r\ntraceparent: 00-{'a' * 32}-{'b' * 16}-01\r\n"
    await raw_request(
        await serve(build_app()), f"{head}tracestate: rojo=00f067aa0ba902b7, t61rcwkgmze@v=x:1/2\r\n\r\n".encode()
    )
    (span,) = telemetry.of_kind(SpanKind.SERVER)
    assert dict(span.context.trace_state) == {"rojo": "00f067aa0ba902b7", "t61rcwkgmze@v": "x:1/2"}
