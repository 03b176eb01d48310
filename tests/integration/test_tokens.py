# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Who comes back with a token, on a real aiohttp server: its request continues the one that made the token."""

import asyncio
import time

import aiohttp
import fakeredis
import pytest
from aiohttp import web
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.hops import deferred, http_server, tokens
from otel_backendai.hops.context_store import ContextStore
from otel_backendai.hops.kept_contexts import KeptContexts
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.hops.tokens import digest_of
from otel_backendai.names import ATTRIBUTE_REQUEST_ID, TOKEN_CHANNEL, TOKEN_KEY_PREFIX
from otel_backendai.releases.tokens import brought_token
from tests.conftest import Telemetry
from tests.integration.conftest import ServeApp

TOKEN = "0f8fad5b-d9cb-469f-a165-70867728950e"  # noqa: S105  # nobody's
RESPONSE_HEADER = "X-Backend-Request-ID"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def build_app() -> web.Application:
    """Makes a token, and accepts it or refuses it."""

    async def make(_: web.Request) -> web.Response:
        tokens.remember(TOKEN)
        return web.json_response({"token": TOKEN})

    async def upload(request: web.Request) -> web.Response:
        raise web.HTTPUnauthorized if "refused" in request.query else web.HTTPNoContent

    app = web.Application()
    app.router.add_post("/make", make)
    app.router.add_patch("/upload", upload)
    return app


@pytest.fixture
async def base(serve: ServeApp, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server's URL; a client of this process would send its own context along, so the hop HTTP out is off."""
    from otel_backendai.hops import http_client

    http_client.HOP.uninstall()
    monkeypatch.setattr(http_server, "token_of", brought_token)
    return await serve(build_app())


async def bring(base: str, token: str = TOKEN, headers: dict[str, str] | None = None, query: str = "") -> str:
    """Come with a token; the request ID that the response names."""
    async with (
        aiohttp.ClientSession() as client,
        client.patch(f"{base}/upload?token={token}{query}", headers=headers) as response,
    ):
        assert response.status == (401 if query else 204)
        return response.headers[RESPONSE_HEADER]


async def make(base: str) -> str:
    """Have the token made, by a request with this ID, which is returned."""
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{base}/make", headers={"X-Request-ID": "request-1", "traceparent": TRACE}) as response,
    ):
        assert response.status == 200
    return "request-1"


def visits(telemetry: Telemetry) -> list[ReadableSpan]:
    """The spans of the requests that brought a token."""
    return [span for span in telemetry.of_kind(SpanKind.SERVER) if (span.attributes or {}).get("url.path") == "/upload"]


async def test_a_visitor_continues_the_request_that_made_the_token(telemetry: Telemetry, base: str) -> None:
    """Every request with it is in that trace, below the span that made it, under its ID; none shows the token."""
    request = await make(base)
    assert [await bring(base) for _ in range(3)] == [request] * 3
    made = next(span for span in telemetry.of_kind(SpanKind.SERVER) if span.name == "POST /make")
    for span in visits(telemetry):
        assert span.parent is not None
        assert (span.parent.trace_id, span.parent.span_id) == (made.context.trace_id, made.context.span_id)
        assert (span.attributes or {})[ATTRIBUTE_REQUEST_ID] == request
    assert TOKEN not in "".join(span.to_json() for span in telemetry.spans)


@pytest.mark.parametrize("headers", [{"traceparent": TRACE}, {"X-Request-ID": "request-2"}])
async def test_a_visitor_with_a_context_keeps_it(telemetry: Telemetry, base: str, headers: dict[str, str]) -> None:
    """A client that says who it is, by a trace or by a request ID, is believed."""
    await make(base)
    answered = await bring(base, headers=headers)
    assert answered == headers.get("X-Request-ID", answered) != "request-1"
    assert visits(telemetry)[0].links == ()


async def test_a_token_that_is_refused(telemetry: Telemetry, base: str) -> None:
    """One that nobody made tells nothing; one that was given out tells its bearer what came with it: the request ID."""
    request = await make(base)
    assert await bring(base, token="guessed", query="&refused") != request  # noqa: S106  # nobody's
    assert await bring(base, query="&refused") == request
    assert visits(telemetry)[0].parent is None


async def test_an_hour_later(telemetry: Telemetry, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ID stays; the trace is one of its own, linked to the request's."""
    request = await make(base)
    monkeypatch.setattr(deferred, "MAX_AGE_OF_CHILD", -1.0)
    assert await bring(base) == request
    span = visits(telemetry)[0]
    assert span.parent is None
    assert len(span.links) == 1


async def test_another_process_made_it(telemetry: Telemetry, base: str) -> None:
    """Where nothing was heard of it, the first request is linked once Redis has answered, and the next continues."""
    server = fakeredis.FakeServer()

    def connect() -> fakeredis.FakeRedis:
        return fakeredis.FakeRedis(server=server)

    maker = KeptContexts(TOKEN_KEY_PREFIX, 10, 60, TOKEN_CHANNEL)
    maker.store = ContextStore(connect)
    with SpanScope(deferred.HOP.tracer, "POST", SpanKind.SERVER, request_id.bind("request-1", Context())) as scope:
        made = scope.span.get_span_context()
        maker.remember(digest_of(TOKEN) or "", context_api.get_current())
    deadline = time.monotonic() + 10
    while not connect().keys("*"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    tokens.tokens.store = ContextStore(connect)
    first = await bring(base)
    assert first != "request-1"
    while await bring(base) != "request-1":
        assert time.monotonic() < deadline
    found = visits(telemetry)
    assert found[0].parent is None
    assert [link.context.trace_id for span in found for link in span.links] in ([], [made.trace_id])
    assert found[-1].parent is not None
    assert found[-1].parent.trace_id == made.trace_id


def test_a_link_that_comes_in_time(telemetry: Telemetry) -> None:
    """While the request runs, the answer of Redis is a link on its span."""
    server = fakeredis.FakeServer()
    digest = digest_of(TOKEN) or ""
    maker = KeptContexts(TOKEN_KEY_PREFIX, 10, 60)
    maker.store = tokens.tokens.store = ContextStore(lambda: fakeredis.FakeRedis(server=server))
    with SpanScope(deferred.HOP.tracer, "POST", SpanKind.SERVER, request_id.bind("request-1", Context())) as scope:
        maker.remember(digest, context_api.get_current())
    with SpanScope(deferred.HOP.tracer, "PATCH", SpanKind.SERVER, Context()) as visit:
        tokens.link_when_found(Context(), tokens.Token(digest), visit.span)
        deadline = time.monotonic() + 10
        while not getattr(visit.span, "links", ()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    made, visited = telemetry.of_kind(SpanKind.SERVER)
    assert scope.span.get_span_context() == made.context
    assert [link.context.span_id for link in visited.links] == [made.context.span_id]


async def test_without_the_hop(telemetry: Telemetry, base: str) -> None:
    """Switched off, each request is its own."""
    await make(base)
    deferred.HOP.uninstall()
    assert await bring(base) != "request-1"
