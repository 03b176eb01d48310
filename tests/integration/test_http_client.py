# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""HTTP out: what leaves the process, seen by real servers."""

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict
from opentelemetry import context as context_api
from opentelemetry import propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from yarl import URL

from otel_backendai import component, guard
from otel_backendai.api import bind_request_id
from otel_backendai.hops import http_client, http_server, peers
from otel_backendai.hops.user_traffic import with_user_traffic
from tests.conftest import Telemetry
from tests.integration.conftest import ServeApp

OURS = ("X-Request-ID", "X-BackendAI-RequestID", "traceparent", "tracestate", "baggage")
STORAGE_TOKEN = {"X-BackendAI-Storage-Auth-Token": "secret"}


class Receiver:
    """Remembers the headers of every request."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.app = web.Application()
        self.app.router.add_route("*", "/{path:.*}", self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request.headers.copy())
        if request.path == "/redirect":
            raise web.HTTPFound(request.query["to"])
        if request.path == "/ws":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.close()
            return socket
        return web.Response()

    def ours(self, number: int = -1) -> dict[str, str]:
        """Those of our header names that a request brought."""
        return {name: self.seen[number][name] for name in OURS if name in self.seen[number]}


@pytest.fixture
def client_hop(telemetry: Telemetry) -> Telemetry:
    """Only the client's side is on: what a server makes of it is another test's."""
    http_server.HOP.uninstall()
    return telemetry


async def test_a_peer_gets_request_id_trace_and_baggage(client_hop: Telemetry, serve: ServeApp) -> None:
    """A marker header of Backend.AI makes a peer; `traceparent` names the CLIENT span."""
    receiver = Receiver()
    base = await serve(receiver.app)
    async with aiohttp.ClientSession() as session:
        with bind_request_id("req-1"):
            async with session.post(base + "/folder", headers=STORAGE_TOKEN):
                pass
    span = client_hop.only(SpanKind.CLIENT)
    assert span.context is not None
    assert span.attributes is not None
    assert span.attributes["backendai.request.id"] == "req-1"
    assert receiver.ours() == {
        "X-Request-ID": "req-1",
        "X-BackendAI-RequestID": "req-1",
        "traceparent": receiver.seen[0]["traceparent"],
        "baggage": "backendai.request.id=req-1",
    }
    assert receiver.seen[0]["traceparent"].split("-")[1:3] == [
        trace.format_trace_id(span.context.trace_id),
        trace.format_span_id(span.context.span_id),
    ]


async def test_a_third_party_gets_nothing(client_hop: Telemetry, serve: ServeApp) -> None:
    """No header of ours, no trace context, no baggage; the CLIENT span is there all the same."""
    receiver = Receiver()
    base = await serve(receiver.app)
    async with aiohttp.ClientSession() as session:
        with bind_request_id("req-1"):
            async with session.get(base + "/v2/", headers={"Authorization": "BackendAI signMethod=x"}):
                pass
            async with session.ws_connect(base + "/ws"):
                pass
    assert receiver.ours(0) == receiver.ours(1) == {}
    assert len(client_hop.of_kind(SpanKind.CLIENT)) == 2


UNMARKED = [
    ("webserver", "/auth/authorize", {"User-Agent": "Backend.AI Web Server 26.9.6"}),
    ("client", "/", {"User-Agent": "Backend.AI Client for Python 23.9.10"}),
    ("client", "/upload?token=t&dst_dir=d", {}),
    ("client", "/download?token=t", {}),
]
NO_PEERS = [
    ("storage-proxy", "/auth/authorize", {"User-Agent": "Backend.AI Client for Python 26.9.6"}),
    ("client", "/upload", {}),
    ("manager", "/upload?token=t", {}),
    ("manager", "/status", {}),
    ("manager", "/v2/conf", {}),
    ("webserver", "/", {"User-Agent": "curl/8"}),
]


@pytest.mark.parametrize(
    ("is_peer", "name", "target", "headers"),
    [(True, *case) for case in UNMARKED] + [(False, *case) for case in NO_PEERS],
)
async def test_peers_without_a_marker(
    is_peer: bool,
    name: str,
    target: str,
    headers: dict[str, str],
    client_hop: Telemetry,
    serve: ServeApp,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who calls decides: log-ins of the web server, uploads of a client."""
    receiver = Receiver()
    base = await serve(receiver.app)
    monkeypatch.setenv("OTEL_BACKENDAI_COMPONENT", name)
    component.component.cache_clear()
    try:
        async with aiohttp.ClientSession() as session:
            with bind_request_id("req-1"):
                async with session.get(base + target, headers=headers):
                    pass
    finally:
        component.component.cache_clear()
    assert receiver.ours().get("X-Request-ID") == ("req-1" if is_peer else None)
    assert bool(receiver.ours()) is is_peer


# What the manager sends to the app-proxy, in all releases, and what it tells a session's `callback_url`.
CONF = {"login_session_token": None, "kernel_host": "h", "kernel_port": 1, "session": {"id": "s"}}
TOLD = {"type": "session_lifecycle", "event": "session_started", "session": "s", "when": "now"}


@pytest.mark.parametrize(
    ("expected", "name", "method", "target", "body"),
    [
        (True, "manager", "POST", "/v2/conf", CONF),
        (False, "manager", "POST", "/v2/conf", TOLD),
        (False, "manager", "GET", "/v2/conf", CONF),
        (False, "manager", "POST", "/other/conf", CONF),
        (False, "agent", "POST", "/v2/conf", CONF),
    ],
)
async def test_the_managers_configuration_of_an_app(
    expected: bool,
    name: str,
    method: str,
    target: str,
    body: dict[str, object],
    client_hop: Telemetry,
    serve: ServeApp,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has no marker: its body tells it from a call to an address that a user chooses."""
    monkeypatch.setattr(peers, "component", lambda: name)
    receiver = Receiver()
    base = await serve(receiver.app)
    async with aiohttp.ClientSession() as session:
        with bind_request_id("req-1"):
            async with session.request(method, base + target, json=body):
                pass
    assert bool(receiver.ours()) is expected


async def test_a_call_that_is_known_to_go_to_a_peer(client_hop: Telemetry, serve: ServeApp) -> None:
    """An adapter says so where the call is made; what follows is judged as before."""
    receiver = Receiver()
    base = await serve(receiver.app)
    async with aiohttp.ClientSession() as session:
        with bind_request_id("req-1"):
            token = context_api.attach(peers.with_peer(context_api.get_current()))
            async with session.get(base + "/status"):
                pass
            context_api.detach(token)
            async with session.get(base + "/status"):
                pass
    assert receiver.ours(0)["X-Request-ID"] == "req-1"
    assert receiver.ours(1) == {}


async def test_nothing_of_ours_reaches_an_end_users_program(client_hop: Telemetry, serve: ServeApp) -> None:
    """Copied headers lose what a client under this plugin sent, markers make no peer of it; the span is there."""
    receiver = Receiver()
    base = await serve(receiver.app)
    copied = {
        "X-Request-ID": "req-1",
        "X-BackendAI-RequestID": "req-1",
        "X-BackendAI-Token": "of the program's own",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "baggage": "backendai.request.id=req-1,tenant=blue",
    }
    async with aiohttp.ClientSession() as session:
        with bind_request_id("req-1"):
            token = context_api.attach(with_user_traffic(context_api.get_current()))
            try:
                async with session.get(base, headers=copied):
                    pass
                async with session.ws_connect(base + "/ws", headers=STORAGE_TOKEN):
                    pass
            finally:
                context_api.detach(token)
    assert receiver.ours(0) == {"baggage": "tenant=blue"}
    assert receiver.seen[0]["X-BackendAI-Token"] == "of the program's own"
    assert receiver.ours(1) == {}
    assert len(client_hop.of_kind(SpanKind.CLIENT)) == 2
    assert copied["baggage"] == "backendai.request.id=req-1,tenant=blue", "the caller's object is not touched"


async def test_a_third_party_gets_nothing_from_contribs_instrumentor_either(
    client_hop: Telemetry, serve: ServeApp
) -> None:
    """Sessions that contrib instruments keep its span, one per request, and carry only what ours lets out."""
    receiver = Receiver()
    base = await serve(receiver.app)
    contrib = AioHttpClientInstrumentor()
    contrib.instrument(tracer_provider=client_hop.provider)
    try:
        async with aiohttp.ClientSession() as session:
            with bind_request_id("req-1"):
                async with session.get(base + "/third-party"):
                    pass
                async with session.get(base + "/peer", headers=STORAGE_TOKEN):
                    pass
    finally:
        contrib.uninstrument()
    assert receiver.ours(0) == {}
    assert receiver.ours(1)["X-Request-ID"] == "req-1"
    assert "traceparent" in receiver.ours(1)
    assert len(client_hop.of_kind(SpanKind.CLIENT)) == 2


async def test_a_session_older_than_the_plugin_is_covered(serve: ServeApp) -> None:
    """Backend.AI makes its storage sessions before anything is instrumented."""
    receiver = Receiver()
    base = await serve(receiver.app)
    async with aiohttp.ClientSession() as session:
        telemetry = Telemetry()
        http_client.HOP.install(telemetry.provider)
        try:
            with bind_request_id("req-1"):
                async with session.get(base + "/", headers=STORAGE_TOKEN):
                    pass
        finally:
            http_client.HOP.uninstall()
        assert receiver.ours()["X-Request-ID"] == "req-1"
        assert telemetry.only(SpanKind.CLIENT)
        async with session.get(base + "/", headers=STORAGE_TOKEN):
            pass
        assert receiver.ours() == {}
        assert session._trace_configs == []


async def test_what_the_application_set_is_never_overwritten(client_hop: Telemetry, serve: ServeApp) -> None:
    """Its request ID and its baggage go out as they are, and the span of the call agrees with them."""
    receiver = Receiver()
    base = await serve(receiver.app)
    headers = {**STORAGE_TOKEN, "X-Request-ID": "mine", "baggage": "a=b", "TraceParent": "00-x"}
    async with aiohttp.ClientSession() as session:
        with bind_request_id("other"):
            async with session.get(base + "/", headers=headers):
                pass
    seen = receiver.ours()
    assert seen["X-Request-ID"] == "mine"
    assert seen["X-BackendAI-RequestID"] == "mine"
    assert seen["baggage"] == "a=b"
    assert seen["traceparent"] == "00-x"
    span = client_hop.only(SpanKind.CLIENT)
    assert span.attributes is not None
    assert span.attributes["backendai.request.id"] == "mine"
    assert headers == {**STORAGE_TOKEN, "X-Request-ID": "mine", "baggage": "a=b", "TraceParent": "00-x"}


async def test_a_traceparent_of_the_span_around_the_call_is_renewed(client_hop: Telemetry, serve: ServeApp) -> None:
    """Backend.AI 26.9 injects by hand before the call; kept, it would make the CLIENT span a leaf."""
    receiver = Receiver()
    base = await serve(receiver.app)
    tracer = client_hop.provider.get_tracer("app")
    async with aiohttp.ClientSession() as session:
        with tracer.start_as_current_span("around") as around:
            context = around.get_span_context()
            by_hand = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
            async with session.get(base + "/", headers={**STORAGE_TOKEN, "traceparent": by_hand}):
                pass
    client = client_hop.only(SpanKind.CLIENT)
    assert client.context is not None
    assert receiver.ours()["traceparent"].split("-")[2] == trace.format_span_id(client.context.span_id)


async def test_a_redirect_to_another_origin_takes_nothing_along(client_hop: Telemetry, serve: ServeApp) -> None:
    """A peer that redirects elsewhere does not hand our headers on; a redirect to itself keeps them."""
    peer, stranger = Receiver(), Receiver()
    base, other = await serve(peer.app), await serve(stranger.app)
    async with aiohttp.ClientSession() as session:
        with bind_request_id("req-1"):
            async with session.get(base + "/redirect", params={"to": other + "/x"}, headers=STORAGE_TOKEN):
                pass
            async with session.get(base + "/redirect", params={"to": base + "/x"}, headers=STORAGE_TOKEN):
                pass
    assert peer.ours(0)["X-Request-ID"] == "req-1"
    assert stranger.ours() == {}
    assert peer.ours(-1)["X-Request-ID"] == "req-1"
    assert "traceparent" in peer.ours(-1)


async def test_a_redirect_that_cannot_be_read_takes_nothing_along(
    client_hop: Telemetry, serve: ServeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In case of doubt the target is a stranger: here the setting with the peers fails to be read."""
    monkeypatch.setattr(guard, "strict", False)
    peer, stranger = Receiver(), Receiver()
    base, other = await serve(peer.app), await serve(stranger.app)
    monkeypatch.setattr(peers, "os", None)
    peers._configured.cache_clear()
    async with aiohttp.ClientSession() as session:
        with bind_request_id("req-1"):
            token = context_api.attach(peers.with_peer(context_api.get_current()))
            try:
                async with session.get(base + "/redirect", params={"to": other + "/x"}):
                    pass
            finally:
                context_api.detach(token)
    assert peer.ours()["X-Request-ID"] == "req-1"
    assert stranger.ours() == {}


class Unreadable(CIMultiDict[str]):
    """Headers that aiohttp reads, and that fail whoever looks a name up."""

    def __contains__(self, key: object) -> bool:
        raise RuntimeError("look-up")


async def test_a_call_that_cannot_be_judged_takes_nothing_along(
    client_hop: Telemetry, serve: ServeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made all the same, as one to a stranger."""
    monkeypatch.setattr(guard, "strict", False)
    receiver = Receiver()
    base = await serve(receiver.app)
    async with aiohttp.ClientSession() as session:
        monkeypatch.setattr(session, "_default_headers", Unreadable())
        with bind_request_id("req-1"):
            async with session.get(base + "/x", headers=STORAGE_TOKEN):
                pass
    assert receiver.ours() == {}


async def test_a_propagator_that_is_set_later_gives_third_parties_nothing(
    client_hop: Telemetry, serve: ServeApp
) -> None:
    """It is wrapped before the next call, and stays when the plugin goes."""
    receiver = Receiver()
    base = await serve(receiver.app)
    later = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
    propagate.set_global_textmap(later)
    async with aiohttp.ClientSession() as session:
        with bind_request_id("req-1"):
            async with session.get(base + "/x"):
                pass
            assert receiver.ours() == {}
            async with session.get(base + "/x", headers=STORAGE_TOKEN):
                pass
            assert set(receiver.ours()) >= {"X-Request-ID", "traceparent", "baggage"}
    http_client.HOP.uninstall()
    assert propagate.get_global_textmap() is later


async def test_configured_hosts_are_peers(
    client_hop: Telemetry, serve: ServeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTEL_BACKENDAI_PEERS names hosts that get everything, a WebSocket upgrade included."""
    receiver = Receiver()
    base = await serve(receiver.app)
    peers._configured.cache_clear()
    monkeypatch.setenv("OTEL_BACKENDAI_PEERS", f" example.org, {base.removeprefix('http://')}")
    try:
        async with aiohttp.ClientSession(base) as session:
            with bind_request_id("req-1"):
                async with session.ws_connect("/ws"):
                    pass
    finally:
        peers._configured.cache_clear()
    assert receiver.ours()["X-Request-ID"] == "req-1"
    assert "traceparent" in receiver.ours()


async def test_errors_of_the_application_pass_unchanged(client_hop: Telemetry) -> None:
    """A refused connection, a bad URL and a cancelled call raise what they raise without us."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get("http://127.0.0.1:1/", headers=STORAGE_TOKEN)
        with pytest.raises(aiohttp.InvalidURL):
            await session.get("not a url")
        with pytest.raises(TypeError):
            await session.get(5)  # type: ignore[arg-type]  # that is the point
        task = asyncio.create_task(session.get("http://127.0.0.1:1/"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_headers_that_can_be_read_once_arrive(client_hop: Telemetry, serve: ServeApp) -> None:
    """aiohttp takes any pairs, from a generator, too: ours may not be the one that reads them."""
    received: list[str] = []

    async def keep(request: web.Request) -> web.Response:
        received.append(request.headers.get("X-Own", ""))
        return web.Response()

    app = web.Application()
    app.router.add_get("/", keep)
    base = await serve(app)
    async with aiohttp.ClientSession() as session:
        for headers in (iter([("X-Own", "a")]), zip(["X-Own"], ["b"], strict=True), [("X-Own", "c")], {"X-Own": "d"}):
            async with session.get(f"{base}/", headers=headers):
                pass
    assert received == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("setting", "url", "expected"),
    [
        ("[::1]:8080", "http://[::1]:8080/", True),
        ("[::1]", "http://[::1]:9/", True),
        ("::1", "http://[::1]:9/", True),
        ("[::1]:8080", "http://[::1]:8081/", False),
        ("xn--bcher-kva.example", "http://bücher.example/", True),
        ("bücher.example", "http://xn--bcher-kva.example/", True),
        ("*.example", "http://example.org/", False),
    ],
)
def test_how_a_peer_may_be_written(setting: str, url: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With brackets or without, in the name service's letters or in people's."""
    monkeypatch.setattr(peers, "_configured", lambda: peers.parse_peers(setting))
    assert peers.is_peer_host(URL(url)) is expected
