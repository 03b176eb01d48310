# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What applications call."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, propagate
from opentelemetry import context as context_api
from opentelemetry.trace import SpanKind

from otel_backendai import api, request_id
from otel_backendai.api import (
    EventMetadata,
    bind_request_id,
    current_request_id,
    handling_event,
    new_request_id,
    request_id_middleware,
)
from tests.conftest import Telemetry
from tests.unit.hostile import RaisingMapping, any_value
from tests.unit.test_peers_only import Raising
from tests.unit.test_request_id import acceptable

HEADER = "X-Backend-Request-ID"


def test_the_public_names() -> None:
    """What `__all__` lists exists and is documented."""
    assert sorted(api.__all__) == api.__all__
    for name in api.__all__:
        assert getattr(api, name).__doc__


def test_current_new_and_bind() -> None:
    """None outside; the bound ID inside; the outer one again after a nested block; nothing afterwards."""
    assert current_request_id() is None
    assert request_id.is_acceptable(new_request_id())
    assert current_request_id() is None
    with bind_request_id("outer") as outer:
        assert (outer, current_request_id()) == ("outer", "outer")
        with bind_request_id("inner"):
            assert current_request_id() == "inner"
        assert current_request_id() == "outer"
    assert current_request_id() is None


def test_binding_without_an_id_mints() -> None:
    """`None` gives a new ID each time, and says which."""
    with bind_request_id() as first:
        assert current_request_id() == first
    with bind_request_id(None) as second:
        assert request_id.is_acceptable(second)
    assert first != second


@any_value
def test_binding_a_hostile_id_mints(make: Callable[[], Any]) -> None:
    """What came from outside is never bound raw, and never an exception."""
    with bind_request_id(make()) as bound:
        assert request_id.is_acceptable(bound)
        assert current_request_id() == bound
        assert baggage.get_baggage("backendai.request.id") == bound


def test_an_exception_passes_and_the_id_is_unbound() -> None:
    """The application's own exceptions are unchanged."""
    error = KeyError("x")
    with pytest.raises(KeyError) as caught, bind_request_id("req-1"):
        raise error
    assert caught.value is error
    assert current_request_id() is None


async def test_tasks_inherit_and_do_not_share() -> None:
    """A task made in a request belongs to it; what it binds itself is its own."""

    async def child(own: str) -> tuple[str | None, str | None]:
        inherited = current_request_id()
        with bind_request_id(own):
            await asyncio.sleep(0)
            return inherited, current_request_id()

    with bind_request_id("parent"):
        seen = await asyncio.gather(*(child(f"child-{number}") for number in range(50)))
        assert current_request_id() == "parent"
    assert seen == [("parent", f"child-{number}") for number in range(50)]


# The middleware -----------------------------------------------------------------------------------------------------


def application() -> web.Application:
    """An application with the middleware and every kind of answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"id": current_request_id()})

    async def missing(request: web.Request) -> web.StreamResponse:
        raise web.HTTPNotFound(headers={"X-Own": "1"})

    async def broken(request: web.Request) -> web.StreamResponse:
        raise RuntimeError("broken")

    async def own(request: web.Request) -> web.StreamResponse:
        return web.Response(headers={HEADER: "own"})

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(str(current_request_id()).encode())
        await response.write_eof()
        return response

    async def nothing(request: web.Request) -> Any:
        return None

    app = web.Application(middlewares=[request_id_middleware])
    for handler in (answer, missing, broken, own, stream, nothing):
        app.router.add_get(f"/{handler.__name__}", handler)
    return app


@asynccontextmanager
async def client(app: web.Application) -> AsyncIterator[Callable[..., Any]]:
    """A real server on loopback, and a way to ask it: status, headers, body."""
    runner = web.AppRunner(app, shutdown_timeout=1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession(f"http://{host}:{port}") as session:

            async def ask(path: str, **headers: str) -> tuple[int, Any, str]:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                async with session.get(path, headers=named) as response:
                    return response.status, response.headers, await response.text()

            yield ask
    finally:
        await runner.cleanup()


async def test_the_middleware_binds_and_answers_the_id() -> None:
    """Without instrumentor and SDK: the inbound ID in the handler and in the response, a new one if there is none."""
    async with client(application()) as ask:
        _, headers, body = await ask("/answer", X_Request_ID="req-1")
        assert json.loads(body)["id"] == headers[HEADER] == "req-1"
        _, headers, body = await ask("/answer")
        assert json.loads(body)["id"] == headers[HEADER]
        assert request_id.is_acceptable(headers[HEADER])
        _, headers, body = await ask("/answer", X_Request_ID="a b", X_BackendAI_RequestID="req-2")
        assert json.loads(body)["id"] == headers[HEADER] == "req-2"


async def test_the_middleware_answers_the_id_on_http_exceptions() -> None:
    """404 by exception and 404 without a route; what the application set itself is kept."""
    async with client(application()) as ask:
        status, headers, _ = await ask("/missing", X_Request_ID="req-1")
        assert (status, headers[HEADER], headers["X-Own"]) == (404, "req-1", "1")
        status, headers, _ = await ask("/no/such/route", X_Request_ID="req-1")
        assert (status, headers[HEADER]) == (404, "req-1")
        _, headers, _ = await ask("/own", X_Request_ID="req-1")
        assert headers.getall(HEADER) == ["own"]


@pytest.mark.parametrize("path", ["/broken", "/nothing", "/stream"])
async def test_the_middleware_changes_no_outcome(path: str) -> None:
    """An exception, a handler that returns nothing, a stream that is under way: status and body as without it."""
    with_it, without_it = application(), application()
    without_it.middlewares.clear()
    async with client(with_it) as ask:
        status, _, body = await ask(path, X_Request_ID="req-1")
    async with client(without_it) as ask:
        expected_status, _, expected_body = await ask(path)
    assert status == expected_status
    assert body == ("req-1" if path == "/stream" else expected_body)


async def test_the_middleware_keeps_requests_of_one_connection_apart() -> None:
    """Nothing stays bound after a request, and concurrent ones do not mix."""
    async with client(application()) as ask:
        answers = await asyncio.gather(*(ask("/answer", X_Request_ID=f"req-{number}") for number in range(100)))
        for number, (_, headers, body) in enumerate(answers):
            assert json.loads(body)["id"] == headers[HEADER] == f"req-{number}"
    assert current_request_id() is None


async def test_the_middleware_beside_the_instrumentor(telemetry: Telemetry) -> None:
    """Both at once: one ID, one header, one SERVER span; the stream has its header as well."""
    async with client(application()) as ask:
        for path in ("/answer", "/missing", "/stream", "/broken"):
            _, headers, _ = await ask(path, X_Request_ID="req-1")
            assert headers.getall(HEADER) == ["req-1"]
    assert len(telemetry.of_kind(SpanKind.SERVER)) == 4


@pytest.mark.usefixtures("lenient")
async def test_a_propagator_that_raises_does_not_fail_requests() -> None:
    """Rule 1 for those who use the middleware alone: the request is served, under its request ID."""
    propagate.set_global_textmap(Raising())
    async with client(application()) as ask:
        status, headers, body = await ask("/answer", X_Request_ID="req-1")
    assert status == 200
    assert json.loads(body)["id"] == headers[HEADER] == "req-1"


# Events -------------------------------------------------------------------------------------------------------------

moments = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=9)), timezone(timedelta(minutes=-30))]))


@given(st.none() | acceptable, st.none() | moments, st.none() | st.text(max_size=50))
def test_event_metadata_round_trip(value: str | None, timestamp: datetime | None, source: str | None) -> None:
    """What is sent is what is read, through JSON too; what is unknown is left out."""
    metadata = EventMetadata(value, timestamp, source)
    fields = metadata.to_dict()
    assert EventMetadata.from_dict(json.loads(json.dumps(fields))) == metadata
    assert all(type(text) is str for text in fields.values())
    assert set(fields) <= {"request_id", "timestamp", "source"}


def test_event_metadata_of_now() -> None:
    """Request ID and trace of the current request; a timestamp with a zone."""
    before = datetime.now(UTC)
    with bind_request_id("req-1"):
        metadata = EventMetadata.now("agent")
        fields = metadata.to_dict()
    assert (metadata.request_id, metadata.source) == ("req-1", "agent")
    assert metadata.timestamp is not None
    assert before <= metadata.timestamp <= datetime.now(UTC)
    assert fields["baggage"] == "backendai.request.id=req-1"
    assert EventMetadata.from_dict(fields) == metadata
    assert EventMetadata.now().request_id is None


@any_value
def test_event_metadata_from_hostile_values(make: Callable[[], Any]) -> None:
    """Whatever is missing, of another type or not acceptable is `None`; no value raises."""
    value = make()
    if not (isinstance(value, dict) and value.get("request_id") == "nested"):
        assert EventMetadata.from_dict(value) == EventMetadata(None, None, None)
    read = EventMetadata.from_dict({"request_id": value, "timestamp": value, "source": value})
    assert read.request_id is None
    assert read.timestamp is None
    assert read.source is None or read.source is value


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-13-01T00:00:00", "9" * 5_000, "2026-01-01T00:00:00+99:00", "\ud800", "2026-01-01T00:00:00Z\n"],
)
def test_event_metadata_from_hostile_timestamps(text: str) -> None:
    """What is no time is `None`."""
    assert EventMetadata.from_dict({"timestamp": text}).timestamp is None


def test_event_metadata_reads_a_timestamp_without_a_zone_as_utc() -> None:
    """Naive and aware times never meet in an application's comparison."""
    read = EventMetadata.from_dict({"timestamp": "2026-01-01T00:00:00"})
    assert read.timestamp == datetime(2026, 1, 1, tzinfo=UTC)


def test_event_metadata_from_a_mapping_that_raises() -> None:
    """A foreign mapping costs the application nothing."""
    assert EventMetadata.from_dict(RaisingMapping()) == EventMetadata(None, None, None)


def test_event_metadata_is_immutable() -> None:
    """It is shared between handlers."""
    with pytest.raises(AttributeError):
        EventMetadata.now().request_id = "x"  # type: ignore[misc]  # that is the point


def event(**more: bytes) -> dict[bytes, bytes]:
    """A message with a context."""
    carried = json.dumps({"request_id": "req-1", "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}).encode()
    fields = {b"name": b"x", b"args": b"", b"otel": carried}
    return {**fields, **{name.encode(): value for name, value in more.items()}}


@pytest.mark.parametrize(
    "count",
    [b"0", b"-1", b"x", b"", b"9" * 5_000, "٣".encode(), "²".encode(), b"\xff"],
    ids=lambda count: repr(count[:4]),
)
def test_a_hostile_retry_count_does_not_cost_the_request_id(count: bytes, telemetry: Telemetry) -> None:
    """A field of the message that is no sensible number is ignored, not the whole message."""
    with handling_event("x", event(_retry_count=count)):
        assert current_request_id() == "req-1"
    assert len(telemetry.of_kind(SpanKind.CONSUMER)) == 1


@any_value
def test_hostile_arguments_of_handling_event(make: Callable[[], Any], telemetry: Telemetry) -> None:
    """Whatever stands in place of carrier, message ID or stream, the handler runs under a request ID of its own."""
    for arguments in (
        {"carrier": make()},
        {"carrier": event(), "message_id": make()},
        {"carrier": event(), "stream": make()},
    ):
        with handling_event("x", **arguments):
            assert request_id.is_acceptable(current_request_id())
        assert current_request_id() is None
    for span in telemetry.spans:
        for value in (span.attributes or {}).values():
            assert not isinstance(value, str) or len(value.encode()) <= 4_096


def test_handling_an_event_passes_exceptions_and_leaves_nothing(telemetry: Telemetry) -> None:
    """The handler's exception is the handler's; the reader's own context is back afterwards."""
    error = KeyError("x")
    with bind_request_id("reader"):
        before = context_api.get_current()
        with pytest.raises(KeyError) as caught, handling_event("x", event()):
            raise error
        assert context_api.get_current() is before
    assert caught.value is error


def test_an_old_or_repeated_message_is_linked(telemetry: Telemetry) -> None:
    """Same request ID, own trace, a link to the sender."""
    now = int(time.time() * 1000)
    with handling_event("fresh", event(), message_id=f"{now}-0"):
        pass
    with handling_event("old", event(), message_id=f"{now - 3_600_000}-0"):
        pass
    with handling_event("repeated", event(_retry_count=b"2"), message_id=f"{now}-0".encode()):
        pass
    fresh, old, repeated = telemetry.spans
    assert fresh.parent is not None
    for span in (old, repeated):
        assert span.parent is None
        assert [f"{link.context.trace_id:032x}" for link in span.links] == ["1" * 32]
        assert (span.attributes or {})["backendai.request.id"] == "req-1"
