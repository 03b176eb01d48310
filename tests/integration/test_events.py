# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Events over real Redis streams, sent and read as Backend.AI does."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest
import redis as sync_redis
from opentelemetry import baggage, trace
from opentelemetry.trace import SpanKind, StatusCode
from redis.asyncio import Redis

from otel_backendai.api import EventMetadata, bind_request_id, current_request_id, handling_event
from tests.conftest import Telemetry

STREAM = "events"
Message = tuple[bytes, dict[bytes, bytes]]


def event(name: str = "kernel_started", **more: bytes) -> dict[Any, Any]:
    """The fields of an event as Backend.AI 23.09 sends them."""
    fields = {b"name": name.encode(), b"source": b"i-agent", b"args": msgpack.packb(("k-1",))}
    return {**fields, **{key.encode(): value for key, value in more.items()}}


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    """A client of an empty Redis, with the manager's consumer group."""
    client: Any = Redis.from_url(redis_url)
    await client.flushdb()
    await client.xgroup_create(STREAM, "manager", id="0", mkstream=True)
    yield client
    await client.aclose()


async def read_group(redis: Any) -> list[Message]:
    """All new messages of the group (anycast)."""
    reply = await redis.xreadgroup("manager", "m-1", {STREAM: ">"}, count=100, block=1000)
    return [message for _, messages in reply for message in messages]


async def test_an_event_continues_the_request_that_sent_it(telemetry: Telemetry, redis: Any) -> None:
    """PRODUCER span at the sender, CONSUMER span below it at the reader, request ID bound in the handler."""
    with bind_request_id("req-1"):
        await redis.xadd(STREAM, event())
    ((message_id, fields),) = await read_group(redis)
    with handling_event("kernel_started", fields, message_id=message_id, stream=STREAM):
        assert current_request_id() == "req-1"
    assert current_request_id() is None
    producer, consumer = telemetry.only(SpanKind.PRODUCER), telemetry.only(SpanKind.CONSUMER)
    assert producer.name == "publish kernel_started"
    assert consumer.name == "process kernel_started"
    assert producer.context is not None
    assert consumer.parent is not None
    assert consumer.parent.span_id == producer.context.span_id
    for span in (producer, consumer):
        assert span.attributes is not None
        assert span.attributes["backendai.request.id"] == "req-1"
        assert span.attributes["messaging.system"] == "redis"
        assert span.attributes["messaging.destination.name"] == STREAM


async def test_only_a_sibling_field_is_added(telemetry: Telemetry, redis: Any) -> None:
    """Backend.AI's own fields and its `metadata` arrive byte for byte; the application's dict is not changed."""
    metadata = json.dumps({"request_id": "req-1", "user": None}).encode()
    sent = event(metadata=metadata)
    before = dict(sent)
    with bind_request_id("req-1"):
        await redis.xadd(STREAM, sent)
    assert sent == before
    ((_, fields),) = await read_group(redis)
    carried = json.loads(fields.pop(b"otel"))
    assert fields == before
    assert carried["request_id"] == "req-1"
    assert set(carried) == {"request_id", "traceparent", "baggage"}


async def test_a_sender_without_a_request_mints_one(telemetry: Telemetry, redis: Any) -> None:
    """Timer-driven work is named from its first event on."""
    await redis.xadd(STREAM, event("session_enqueued"))
    ((_, fields),) = await read_group(redis)
    with handling_event("session_enqueued", fields):
        seen = current_request_id()
    producer = telemetry.only(SpanKind.PRODUCER)
    assert producer.attributes is not None
    assert producer.attributes["backendai.request.id"] == seen
    assert producer.attributes["backendai.request.origin.detail"] == "event"
    assert current_request_id() is None


async def test_broadcast_and_batch(telemetry: Telemetry, redis: Any) -> None:
    """Every reader of a broadcast, and every message of a batch, gets the context of its sender."""
    with bind_request_id("req-b"):
        async with redis.pipeline() as batch:
            for number in range(3):
                batch.xadd(STREAM, event(f"event_{number}"))
            await batch.execute()
    for _ in range(2):
        ((_, messages),) = await redis.xread({STREAM: "0"})
        assert len(messages) == 3
        for _, fields in messages:
            with handling_event(fields[b"name"].decode(), fields):
                assert current_request_id() == "req-b"
    producers = {span.context.span_id for span in telemetry.of_kind(SpanKind.PRODUCER) if span.context}
    assert len(producers) == 3
    assert [span.parent.span_id in producers for span in telemetry.of_kind(SpanKind.CONSUMER) if span.parent] == [
        True
    ] * 6


async def test_metadata_alone_is_understood(telemetry: Telemetry, redis: Any) -> None:
    """A sender without the plugin: its `metadata.request_id`, and in 26.9 its `metadata.traceparent`, are continued."""
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    metadata = json.dumps({"request_id": "native", "user": None, "traceparent": traceparent}).encode()
    with handling_event("kernel_started", event(metadata=metadata)):
        assert current_request_id() == "native"
    consumer = telemetry.only(SpanKind.CONSUMER)
    assert consumer.parent is not None
    assert trace.format_span_id(consumer.parent.span_id) == "b7ad6b7169203331"


async def test_metadata_of_our_api_makes_the_round_trip(telemetry: Telemetry, redis: Any) -> None:
    """`EventMetadata` travels: request ID, timestamp, source."""
    with bind_request_id("req-m"):
        metadata = EventMetadata.now(source="manager")
        await redis.xadd(STREAM, event(metadata=json.dumps(metadata.to_dict()).encode()))
    ((_, fields),) = await read_group(redis)
    received = EventMetadata.from_dict(json.loads(fields[b"metadata"]))
    assert received == metadata
    assert received.request_id == "req-m"
    with handling_event("kernel_started", json.loads(fields[b"metadata"])):
        assert current_request_id() == "req-m"


async def test_a_redelivered_or_old_event_is_linked_under_the_same_request(telemetry: Telemetry, redis: Any) -> None:
    """Redelivery after minutes must not stretch the old trace: a root of its own, a link, the same request ID."""
    with bind_request_id("req-old"):
        await redis.xadd(STREAM, event())
    ((_, fields),) = await read_group(redis)
    old_id = f"{int((time.time() - 600) * 1000)}-0"
    with handling_event("kernel_started", fields, message_id=old_id):
        assert current_request_id() == "req-old"
    with handling_event("kernel_started", {**fields, b"_retry_count": b"1"}):
        pass
    with handling_event("kernel_started", fields, redelivered=True):
        pass
    producer = telemetry.only(SpanKind.PRODUCER)
    assert producer.context is not None
    for consumer in telemetry.of_kind(SpanKind.CONSUMER):
        assert consumer.parent is None
        assert [link.context.span_id for link in consumer.links] == [producer.context.span_id]
        assert consumer.attributes is not None
        assert consumer.attributes["backendai.request.id"] == "req-old"


async def test_a_message_that_is_queued_again_keeps_its_context(telemetry: Telemetry, redis: Any) -> None:
    """Autoclaim adds the raw fields again, from a loop that has no request: no new span, no new context."""
    with bind_request_id("req-1"):
        await redis.xadd(STREAM, event())
    ((_, fields),) = await read_group(redis)
    await redis.xadd(STREAM, fields)
    ((_, again),) = await read_group(redis)
    assert again == fields
    assert telemetry.only(SpanKind.PRODUCER)


async def test_the_handler_sees_nothing_of_the_readers_context(telemetry: Telemetry, redis: Any) -> None:
    """Extraction replaces: baggage of the task that reads does not reach the handler, and comes back after it."""
    with bind_request_id("reader"):
        with handling_event("kernel_started", event()):
            assert current_request_id() not in (None, "reader")
            assert set(baggage.get_all()) == {"backendai.request.id"}
        assert current_request_id() == "reader"


async def test_a_failing_handler_is_an_error_of_its_span(telemetry: Telemetry) -> None:
    """The handler's exception passes unchanged and is recorded."""
    with pytest.raises(LookupError, match="gone"), handling_event("kernel_started", event()):
        raise LookupError("gone")
    consumer = telemetry.only(SpanKind.CONSUMER)
    assert consumer.status.status_code is StatusCode.ERROR
    assert consumer.attributes is not None
    assert consumer.attributes["error.type"] == "LookupError"


async def test_other_messages_and_other_keys_are_not_touched(telemetry: Telemetry, redis: Any) -> None:
    """A stream entry that is no event of Backend.AI goes out as it is."""
    await redis.xadd("jobs", {"task": "x"})
    ((_, ((_, fields),)),) = await redis.xread({"jobs": "0"})
    assert fields == {b"task": b"x"}
    assert not telemetry.spans


async def test_failed_sending_is_an_error_and_passes(telemetry: Telemetry) -> None:
    """Redis errors reach the application as they are."""
    client: Any = Redis(host="127.0.0.1", port=1)
    with pytest.raises(sync_redis.ConnectionError):
        await client.xadd(STREAM, event())
    assert telemetry.only(SpanKind.PRODUCER).status.status_code is StatusCode.ERROR
    await client.aclose()


def test_the_synchronous_client_is_covered(telemetry: Telemetry, redis_url: str) -> None:
    """redis-py's blocking client sends through the same method."""
    client: Any
    with sync_redis.Redis.from_url(redis_url) as client, bind_request_id("sync"):
        client.xadd("sync-events", event())
        ((_, ((_, fields),)),) = client.xread({"sync-events": "0"})
    assert json.loads(fields[b"otel"])["request_id"] == "sync"


@pytest.mark.parametrize(
    "carrier",
    [
        None,
        5,
        b"\xff",
        [],
        {},
        {b"otel": b"not json"},
        {b"otel": b"[" * 100_000},
        {b"otel": b'{"request_id": {"a": 1}, "traceparent": 5, "baggage": ["x"]}'},
        {b"otel": b'{"request_id": "a\\nb", "traceparent": "00-zz-zz-zz"}', b"metadata": b"\xff\xfe"},
        {"otel": {"request_id": "x" * 1_000_000}},
        {b"metadata": b"x" * 10_000_000},
        {5: 6, None: None},
    ],
)
async def test_hostile_messages_are_handled_under_a_new_id(telemetry: Telemetry, carrier: object) -> None:
    """Whatever a message holds, the handler runs, under a request ID that is acceptable."""
    with handling_event("kernel_started", carrier):
        assert len(current_request_id() or "") == 36
    await asyncio.sleep(0)
    assert telemetry.only(SpanKind.CONSUMER).parent is None
