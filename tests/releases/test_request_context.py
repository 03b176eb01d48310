# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Backend.AI's own request ID and log fields are ours, in handlers of every kind, whatever a client sends."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.api import bind_request_id
from otel_backendai.api import current_request_id as ours
from tests.conftest import Telemetry
from tests.releases.bus import Bus, eventually, session_class, session_event
from tests.releases.conftest import switch_off, switched_on

pytestmark = pytest.mark.releases(since="25.6")
# Messages name their request from there on.
METADATA = pytest.mark.releases(since="25.12")

HOSTILE = [b"\xff", b"a" * 3000, b"", b"a b", b"\xc3\xa9", b"a;b"]
SESSION = uuid.UUID("5d9a2b1e-6a43-4d5e-9f5c-2b8a0d1f7c11")


def theirs() -> str | None:
    """Backend.AI's own."""
    from ai.backend.common.contexts.request_id import current_request_id

    found: str | None = current_request_id()
    return found


class Records(logging.Handler):
    """Keeps what a process's own handlers get."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """The records of logger `relevents`."""
    handler, logger = Records(), logging.getLogger("relevents")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.records
    logger.removeHandler(handler)


@asynccontextmanager
async def manager(answers: list[tuple[str | None, str | None]], more: Any = None) -> AsyncIterator[int]:
    """An application with the manager's middleware, whose handler notes both request IDs and logs; yields its port."""
    from ai.backend.common.middlewares.request_id import request_id_middleware
    from ai.backend.logging.utils import BraceStyleAdapter

    log = BraceStyleAdapter(logging.getLogger("relevents"))

    async def handle(request: web.Request) -> web.Response:
        answers.append((theirs(), ours()))
        log.info("handling")
        if more is not None:
            await more()
        return web.Response()

    app = web.Application(middlewares=[request_id_middleware])
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def get(port: int, *headers: bytes) -> bytes:
    """A request with raw header lines; the answer up to the end of its headers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\r\n".join([b"GET / HTTP/1.1", b"Host: x", b"Connection: close", *headers, b"", b""]))
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return answer


@pytest.mark.parametrize("without", [(), ("backendai_http_server",)], ids=["all hops", "without HTTP in"])
@pytest.mark.parametrize("hostile", HOSTILE, ids=repr)
async def test_a_hostile_header_gets_nowhere(
    recorded: Telemetry, records: list[logging.LogRecord], hostile: bytes, without: tuple[str, ...]
) -> None:
    """It is replaced by a new ID, the same for Backend.AI and us, also where the HTTP server hop is disabled."""
    switched_on(recorded, *without)
    answers: list[tuple[str | None, str | None]] = []
    async with manager(answers) as port:
        await get(port, b"X-BackendAI-RequestID: " + hostile)
    ((backend, own),) = answers
    assert backend == own
    assert request_id.is_acceptable(own)
    assert own != hostile.decode("utf-8", "surrogateescape")
    assert [vars(record)["request_id"] for record in records] == [own]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((b"X-BackendAI-RequestID: req-1",), "req-1"),
        ((b"X-Request-ID: req-1",), "req-1"),
        ((b"X-Request-ID: req-1", b"X-BackendAI-RequestID: req-2"), "req-1"),
        ((b"X-Request-ID: req 1", b"X-BackendAI-RequestID: req-2"), "req-2"),
    ],
)
async def test_one_request_id_in_a_http_handler(
    telemetry: Telemetry, records: list[logging.LogRecord], headers: tuple[bytes, ...], expected: str
) -> None:
    """Ours, Backend.AI's, the log's and the response's, by the order of our header names."""
    answers: list[tuple[str | None, str | None]] = []
    async with manager(answers) as port:
        answer = await get(port, *headers)
    assert answers == [(expected, expected)]
    assert [vars(record)["request_id"] for record in records] == [expected]
    assert f"X-Backend-Request-ID: {expected}".encode() in answer


async def test_a_request_without_an_id_has_one_in_its_log(
    telemetry: Telemetry, records: list[logging.LogRecord]
) -> None:
    """The middleware writes the header into the log fields: null for a request that brought none."""
    answers: list[tuple[str | None, str | None]] = []
    async with manager(answers) as port:
        await get(port)
    ((backend, own),) = answers
    assert own is not None
    assert backend == own
    assert [vars(record)["request_id"] for record in records] == [own]


async def test_what_the_application_binds_is_bound_for_us(telemetry: Telemetry) -> None:
    """`with_request_id` inside a request changes both, and both come back."""
    from ai.backend.common.contexts.request_id import with_request_id

    with bind_request_id("outer"):
        with with_request_id("inner"):
            assert (theirs(), ours()) == ("inner", "inner")
            with bind_request_id("innermost"):
                assert (theirs(), ours()) == ("innermost", "innermost")
        assert (theirs(), ours()) == ("outer", "outer")
        for hostile in ("", "\udcff", 7, "a" * 3000):
            with with_request_id(hostile):
                assert (theirs(), ours()) == ("outer", "outer")
    assert (theirs(), ours()) == (None, None)
    with with_request_id():
        assert theirs() == ours()
        assert request_id.is_acceptable(theirs())
    assert (theirs(), ours()) == (None, None)


async def test_switched_off_inside_a_block(telemetry: Telemetry) -> None:
    """A block that began under the plugin ends without it: Backend.AI gets back the variable and its own token."""
    from ai.backend.common.contexts import request_id as module

    async def run() -> None:
        with module.with_request_id("req-1"):
            switch_off()
            assert theirs() == "req-1"
        assert theirs() is None

    # A task, whose context goes with it: what was attached there is not taken away any more.
    await asyncio.create_task(run())


@METADATA
async def test_an_event_handler_has_one_request_id(telemetry: Telemetry, bus: Bus) -> None:
    """Also for a message without metadata, and below `apply_context` of one with it."""
    seen: list[tuple[str | None, str | None]] = []

    async def handle(context: Any, source: Any, event: Any) -> None:
        seen.append((theirs(), ours()))

    bus.consume(session_class("Started"), handle)
    await bus.start()
    with bind_request_id("req-e"):
        message = await bus.rendered(session_event("Started", SESSION))
    await bus.write(message)
    await bus.write({key: value for key, value in message.items() if key != b"otel"})
    await bus.write({key: value for key, value in message.items() if key not in (b"otel", b"metadata")})
    await eventually(lambda: len(seen) == 3)
    assert seen[:2] == [("req-e", "req-e")] * 2
    backend, own = seen[2]
    assert backend == own
    assert own not in (None, "req-e")


@METADATA
@pytest.mark.parametrize("without", [(), ("backendai_http_server",)], ids=["all hops", "without HTTP in"])
async def test_events_of_a_hostile_request_are_sent(recorded: Telemetry, bus: Bus, without: tuple[str, ...]) -> None:
    """A raw \\xff makes the producer of every event of the request raise, in every release with metadata."""
    switched_on(recorded, *without)
    answers: list[tuple[str | None, str | None]] = []
    seen: list[str | None] = []

    async def handle(context: Any, source: Any, event: Any) -> None:
        seen.append(ours())

    async def send() -> None:
        await bus.producer.broadcast_event(session_event("Enqueued", SESSION, broadcast=True))

    bus.subscribe(session_class("Enqueued", broadcast=True), handle)
    await bus.start()
    async with manager(answers, send) as port:
        await get(port, b"X-BackendAI-RequestID: \xff")
    await eventually(lambda: seen)
    assert seen == [answers[0][1]]
    assert len(recorded.of_kind(SpanKind.PRODUCER)) == 1
