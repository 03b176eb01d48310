# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Which token a request brings and a response gives, and how others hear of one: by its digest, never the token."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import fakeredis
import pytest
import redis
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from opentelemetry.context import Context

from otel_backendai import request_id
from otel_backendai.api import bind_request_id
from otel_backendai.component import component
from otel_backendai.hops import context_listener, deferred, tokens
from otel_backendai.hops.context_store import Connect, ContextStore
from otel_backendai.hops.kept_contexts import KeptContexts
from otel_backendai.hops.tokens import Token, digest_of
from otel_backendai.names import SETTING_COMPONENT, TOKEN_CHANNEL, TOKEN_KEY_PREFIX
from otel_backendai.releases.tokens import _wrap_maker, brought_token, made_tokens
from tests.conftest import Telemetry

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJvcCI6InVwbG9hZCJ9.c2lnbmF0dXJl"  # noqa: S105  # nobody's
SESSION = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
COOKIE = {"Cookie": "a=b; appproxy_permit=0123456789abcdef"}


def eventually(condition: Callable[[], bool]) -> None:
    """Fail when it does not come true."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def at_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process serves users' apps."""
    monkeypatch.setenv(SETTING_COMPONENT, "appproxy-worker")
    monkeypatch.setattr("otel_backendai.releases.tokens.component", component.__wrapped__)


@pytest.mark.parametrize(
    "target",
    [
        f"/upload?token={TOKEN}",
        f"/upload?token={TOKEN}&dst_dir=a",
        f"/download?token={TOKEN}&archive=1",
        f"/download-archive?token={TOKEN}",
        f"/v2/proxy/auth?app=ttyd&token={TOKEN}&session_id={SESSION}",
        f"/v2/proxy/{TOKEN}/{SESSION}/add?app=ttyd&protocol=http",
        f"/setup?token={TOKEN}",
    ],
)
def test_where_a_token_stands(target: str) -> None:
    """In the query, or in the path of the older way to open an app."""
    assert brought_token(make_mocked_request("GET", target)) == Token(digest_of(TOKEN) or "")


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/", {}),
        ("/upload", {}),
        ("/upload?token=", {}),
        (f"/upload?token={'x' * 5000}", {}),
        (f"/func/upload?token={TOKEN}", {}),
        (f"/login?token={TOKEN}", {}),
        (f"/v2/proxy/{TOKEN}/{SESSION}/delete", {}),
        ("/app", COOKIE),
    ],
)
def test_no_token(target: str, headers: Mapping[str, str]) -> None:
    """Nearly all requests bring none; what is too long is none; a permit says nothing but to the app-proxy's worker."""
    assert brought_token(make_mocked_request("GET", target, headers)) is None


@pytest.mark.usefixtures("at_worker")
def test_a_permit_is_a_token_for_a_while() -> None:
    """The cookie that `/setup` gives is known where it leads to, and only there: it is the same for all apps."""
    made = web.Response(headers={"Location": "http://Worker:10200/lab"})
    made.set_cookie("appproxy_permit", "0123456789abcdef")
    digests = [digest_of(text) for text in made_tokens(made)]
    here = brought_token(make_mocked_request("GET", "/lab", {**COOKIE, "Host": "worker:10200"}))
    elsewhere = brought_token(make_mocked_request("GET", "/lab", {**COOKIE, "Host": "worker:10201"}))
    assert here is not None
    assert elsewhere is not None
    assert [here.digest] == digests != [elsewhere.digest]
    assert here.max_age is not None


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (web.json_response({"token": "a"}), ["a"]),
        (web.json_response({"redirect_url": "http://worker/setup?token=b", "reuse": False}), ["b"]),
        (web.Response(status=308, headers={"Location": "http://worker/setup?token=c"}), ["c"]),
        (web.json_response({"token": None, "redirect_url": 5}), []),
        (web.json_response(["token"]), []),
        (web.json_response({"token": "a", "more": "x" * 70_000}), []),
        (web.Response(text="token"), []),
        (web.StreamResponse(), []),
    ],
)
def test_what_a_response_gives(response: web.StreamResponse, expected: list[str]) -> None:
    """A token in the body, or in the URL that the client is sent to; anything else gives none."""
    assert list(made_tokens(response)) == expected


def test_the_token_itself_is_nowhere(telemetry: Telemetry) -> None:
    """Redis gets a digest, as key and as message, and the request's context; the value goes away by itself."""
    server = fakeredis.FakeServer()
    client: Any = fakeredis.FakeRedis(server=server)
    subscription: Any = client.pubsub(ignore_subscribe_messages=True)
    subscription.subscribe(TOKEN_CHANNEL)
    tokens.tokens.store = ContextStore(lambda: fakeredis.FakeRedis(server=server))
    with bind_request_id("request-1"):
        tokens.remember(TOKEN)
    said: list[bytes] = []

    def told() -> bool:
        message = subscription.get_message(timeout=0.01)
        said.extend([message["data"]] if message else [])
        return bool(said)

    eventually(told)
    digest = digest_of(TOKEN)
    eventually(lambda: bool(client.keys("*")))
    assert [key.decode() for key in client.keys("*")] == [f"{TOKEN_KEY_PREFIX}{digest}"]
    value = client.get(f"{TOKEN_KEY_PREFIX}{digest}")
    assert said == [f"{digest} ".encode() + value]
    assert json.loads(value)["request_id"] == "request-1"
    assert client.ttl(f"{TOKEN_KEY_PREFIX}{digest}") > 0
    subscription.close()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes clients of a Redis over TCP."""
    server = fakeredis.TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield lambda: redis.Redis("127.0.0.1", server.server_address[1])
    server.shutdown()
    server.server_close()


async def test_redis_is_connected_while_a_token_is_made(telemetry: Telemetry) -> None:
    """The client comes back at once, and a connection that began with the answer would be late."""
    connected = threading.Event()

    def connect() -> fakeredis.FakeRedis:
        connected.set()
        return fakeredis.FakeRedis(server=fakeredis.FakeServer())

    tokens.tokens.store = ContextStore(connect)

    async def make() -> web.Response:
        assert connected.wait(10)
        return web.json_response({"token": TOKEN})

    response = await _wrap_maker(make)()
    assert json.loads(response.body) == {"token": TOKEN}


def test_another_process_hears_of_it(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, connect: Connect) -> None:
    """It knows the token without asking, and stops listening once the hop is off."""
    monkeypatch.setattr(context_listener, "WAKE", 0.05)
    maker = KeptContexts(TOKEN_KEY_PREFIX, 10, 60, TOKEN_CHANNEL)
    maker.store = ContextStore(connect)
    tokens.tokens.use_store(connect, ContextStore(connect), is_wanted=lambda: deferred.HOP.active, listen=True)
    digest = digest_of(TOKEN) or ""

    def known() -> bool:
        maker.remember(digest, request_id.bind("request-1", Context()))
        return tokens.tokens.known(digest) is not None

    eventually(known)
    kept = tokens.tokens.known(digest)
    assert kept is not None
    assert request_id.read(kept.context) == "request-1"
    deferred.HOP.uninstall()
    eventually(lambda: not tokens.tokens.listener.is_listening)  # type: ignore[union-attr]  # made above


def test_a_listener_comes_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, connect: Connect
) -> None:
    """Redis away costs one line of log a minute, and nobody anything else."""
    monkeypatch.setattr(context_listener, "PAUSE", 0.01)
    monkeypatch.setattr(context_listener, "WAKE", 0.01)
    attempts, wanted = [0], [True]
    heard: list[object] = []

    def connect_in_the_end() -> Any:
        attempts[0] += 1
        if attempts[0] < 4:
            raise ConnectionError("refused")
        return connect()

    listener = context_listener.ContextListener(connect_in_the_end, "channel", heard.append, lambda: wanted[0])
    listener.start()
    listener.start()
    eventually(lambda: connect().publish("channel", "hello") > 0 and b"hello" in heard)
    assert attempts == [4]
    assert len(caplog.records) == 1
    wanted.clear()
    wanted.append(False)
    eventually(lambda: not listener.is_listening)


def test_an_answer_that_is_there_at_once_is_heard(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, connect: Connect
) -> None:
    """A busy process comes to read when Redis has long shown that it is there; it stays connected for ever."""
    monkeypatch.setattr(context_listener, "WAKE", 0.01)
    monkeypatch.setattr(context_listener, "SILENCE", 0.05)
    ping, asked = redis.client.PubSub.ping, list[float]()

    def slow(self: Any) -> None:
        ping(self)
        asked.append(time.monotonic())
        time.sleep(0.05)

    monkeypatch.setattr(redis.client.PubSub, "ping", slow)
    wanted = [True]
    listener = context_listener.ContextListener(connect, "channel", lambda _: None, lambda: bool(wanted))
    listener.start()
    eventually(lambda: len(asked) > 3)
    assert not caplog.records
    wanted.clear()
    eventually(lambda: not listener.is_listening)


def test_what_has_arrived_is_heard_before_a_visitor_is_served(
    monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    """A thread that listens cannot hear while a busy loop holds the interpreter: who asks lets it, and not for long."""
    monkeypatch.setattr(context_listener, "WAKE", 0.2)
    monkeypatch.setattr(context_listener, "CATCH_UP", 10)
    held, wanted, heard = threading.Event(), [True], list[object]()

    def hear(message: object) -> None:
        held.wait(10)
        heard.append(message)

    listener = context_listener.ContextListener(connect, "channel", hear, lambda: bool(wanted))
    listener.start()
    eventually(lambda: connect().publish("channel", "first") > 0)
    threading.Timer(0.05, held.set).start()
    eventually(lambda: bool(heard) or listener._is_hearing)
    listener.catch_up()
    assert heard[:1] == [b"first"]
    began = time.monotonic()
    listener.catch_up()
    assert time.monotonic() - began < 1  # nothing has arrived since
    wanted.clear()
    eventually(lambda: not listener.is_listening)


@pytest.mark.parametrize(
    "message",
    [None, 5, "text", b"", b"\xff\xff", b"digest {}", b"a" * 64, b"a" * 64 + b" {}", b"../" + b"a" * 61 + b" {}"],
)
def test_what_is_told_is_believed_when_well_formed(message: object) -> None:
    """Anyone who may write to Redis may have told it."""
    tokens.tokens.hear(message)
    assert tokens.tokens.known("a" * 64) is None


def test_hostile_tokens_have_a_digest() -> None:
    """A lone surrogate, which JSON can bring, is no error."""
    assert digest_of("\ud800") is not None
    assert digest_of(b"bytes") is None
