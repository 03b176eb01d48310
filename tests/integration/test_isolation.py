# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A thousand requests at once, with distinct IDs, through HTTP, RPC and an event: nothing of one in another."""

import asyncio
import contextlib
import json
import logging
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from callosum.lower.zeromq import ZeroMQAddress, ZeroMQRPCTransport
from callosum.rpc import Peer
from redis.asyncio import Redis

from otel_backendai.api import current_request_id, handling_event
from tests.conftest import Telemetry
from tests.integration.conftest import ServeApp, free_port
from tests.integration.test_rpc import pack, unpack

REQUESTS = 1000
STREAM = "isolation"

log = logging.getLogger("isolation")


def number_of(record: logging.LogRecord) -> str:
    """The number that a record was logged with: the last word of its message."""
    return record.getMessage().rsplit(" ", 1)[-1]


class Cluster:
    """A server, an agent and an event reader, in one process to make mixing as easy as can be."""

    def __init__(self, redis: Any, peer: Peer) -> None:
        self.redis = redis
        self.peer = peer
        self.handled: dict[str, str | None] = {}
        self.messages: dict[str, str] = {}

    async def create(self, request: web.Request) -> web.Response:
        """HTTP in: call the agent."""
        number = request.query["n"]
        log.info("manager %s", number)
        await asyncio.sleep(0)
        answer = await self.peer.invoke("create", {"args": [number], "kwargs": {}})
        log.info("manager again %s", number)
        return web.json_response({"agent": answer, "here": current_request_id()})

    async def create_kernel(self, request: Any) -> str | None:
        """RPC in: send an event from a task of its own."""
        (number,) = request.body["args"]
        log.info("agent %s", number)
        await asyncio.create_task(self.started(number))
        return current_request_id()

    async def started(self, number: str) -> None:
        """Event out."""
        fields: dict[Any, Any] = {b"name": b"kernel_started", b"source": b"agent", b"args": number.encode()}
        await self.redis.xadd(STREAM, fields)

    async def read(self) -> None:
        """Event in: one reader, a task for each message."""
        last: Any = b"0"
        async with asyncio.TaskGroup() as tasks:
            while len(self.handled) < REQUESTS:
                for _, messages in await self.redis.xread({STREAM: last}, count=100, block=200) or []:
                    for message_id, fields in messages:
                        last = message_id
                        tasks.create_task(self.handle(message_id, fields))
                await asyncio.sleep(0)

    async def handle(self, message_id: bytes, fields: dict[bytes, bytes]) -> None:
        """Handle one event."""
        number = fields[b"args"].decode()
        self.messages[number] = json.loads(fields[b"otel"])["request_id"]
        with handling_event("kernel_started", fields, message_id=message_id):
            await asyncio.sleep(0)
            log.info("handler %s", number)
            self.handled[number] = current_request_id()


@pytest.mark.filterwarnings("ignore::DeprecationWarning:callosum")
async def test_a_thousand_concurrent_requests_do_not_mix(
    telemetry: Telemetry, serve: ServeApp, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No ID on a span, log line, response or message of another request."""
    caplog.set_level(logging.INFO, "isolation")
    address = ZeroMQAddress(f"tcp://127.0.0.1:{free_port()}")
    options: dict[str, Any] = {"serializer": pack, "deserializer": unpack, "transport": ZeroMQRPCTransport}
    async with contextlib.AsyncExitStack() as stack:
        redis: Any = Redis.from_url(redis_url)
        stack.push_async_callback(redis.aclose)
        await redis.delete(STREAM)
        server = Peer(bind=address, **options)
        cluster = Cluster(redis, Peer(connect=address, **options))
        server.handle_function("create", cluster.create_kernel)
        await stack.enter_async_context(server)
        await stack.enter_async_context(cluster.peer)
        app = web.Application()
        app.router.add_post("/sessions", cluster.create)
        base = await serve(app)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=60))
        )
        reader = asyncio.create_task(cluster.read())

        async def request(number: int) -> None:
            headers = {"X-Request-ID": f"req-{number}"}
            async with session.post(f"{base}/sessions?n={number}", headers=headers) as response:
                assert response.status == 200
                assert response.headers["X-Backend-Request-ID"] == f"req-{number}"
                assert await response.json() == {"agent": f"req-{number}", "here": f"req-{number}"}

        await asyncio.gather(*(request(number) for number in range(REQUESTS)))
        await asyncio.wait_for(reader, 60)

    expected = {str(number): f"req-{number}" for number in range(REQUESTS)}
    assert cluster.messages == expected
    assert cluster.handled == expected
    records = [record for record in caplog.records if record.name == "isolation"]
    assert len(records) == 4 * REQUESTS
    assert all(record.__dict__["request_id"] == f"req-{number_of(record)}" for record in records)

    # One trace per request, and every span of it, of whatever kind, under the request's own ID.
    ids_of_trace: dict[int, set[Any]] = {}
    for span in telemetry.spans:
        if span.context is not None and span.attributes is not None and span.name != "POST":
            ids_of_trace.setdefault(span.context.trace_id, set()).add(span.attributes.get("backendai.request.id"))
    assert len(ids_of_trace) == REQUESTS
    assert all(len(ids) == 1 for ids in ids_of_trace.values())
    assert {next(iter(ids)) for ids in ids_of_trace.values()} == set(expected.values())
    by_trace = {record.__dict__["otelTraceID"]: record.__dict__["request_id"] for record in records}
    assert len(by_trace) == REQUESTS
