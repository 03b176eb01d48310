# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Events of a released Backend.AI, from its own producer through a real Redis to its own dispatcher."""

import asyncio
import json
import logging
import sys
import time
import uuid
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from otel_backendai import instrumentors
from otel_backendai.api import bind_request_id, current_request_id
from tests.conftest import Telemetry
from tests.releases.bus import DB, FAMILY, OF_STREAMS, Bus, event_class, eventually, session_class, session_event
from tests.releases.conftest import switch_off, switched_on

SESSION = uuid.UUID("5d9a2b1e-6a43-4d5e-9f5c-2b8a0d1f7c11")
QUEUES = pytest.mark.releases(since="25.15")


class Seen:
    """What a handler saw: our request ID, the current span, the event."""

    def __init__(self, fail: bool = False) -> None:
        self.calls: list[tuple[str | None, trace.SpanContext, Any]] = []
        self._fail = fail

    def handler(self) -> Any:
        """A coroutine function, which the dispatcher asks for."""

        async def handle(context: Any, source: Any, event: Any) -> None:
            self.calls.append((current_request_id(), trace.get_current_span().get_span_context(), event))
            if self._fail:
                raise ValueError("no such session")

        return handle


def identity(span: ReadableSpan) -> trace.SpanContext:
    """The span's own context."""
    context: trace.SpanContext = span.context
    return context


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    """Whether ``span`` was started below ``parent``, in its trace."""
    return (
        span.parent is not None
        and span.parent.span_id == identity(parent).span_id
        and identity(span).trace_id == identity(parent).trace_id
    )


async def consumers(telemetry: Telemetry, count: int = 1) -> list[ReadableSpan]:
    """The CONSUMER spans, once there are ``count``; fails when there are more."""
    found: list[ReadableSpan] = await eventually(
        lambda: found if len(found := telemetry.of_kind(SpanKind.CONSUMER)) >= count else None
    )
    assert len(found) == count, [(span.name, span.instrumentation_scope) for span in found]
    return found


async def test_one_producer_and_one_consumer_span(telemetry: Telemetry, bus: Bus) -> None:
    """Below each other, under the request ID of the sender, which the handler has; upstream's own make no second."""
    seen = Seen()
    bus.consume(session_class("Started"), seen.handler())
    await bus.start()
    with bind_request_id("req-1"):
        await bus.send(session_event("Started", SESSION))
    (consumer,) = await consumers(telemetry)
    producer = telemetry.only(SpanKind.PRODUCER)
    assert (producer.name, consumer.name) == ("publish session_started", "process session_started")
    assert is_child(consumer, producer)
    assert producer.parent is None
    ((request_id, current, event),) = seen.calls
    assert request_id == "req-1"
    assert current == identity(consumer)
    assert event.session_id == SESSION
    for span in (producer, consumer):
        assert span.attributes is not None
        assert span.attributes["backendai.request.id"] == "req-1"
        assert span.attributes["backendai.session.id"] == str(SESSION)
        # The queue of 25.11 to 25.13 keeps no name of a stream that it reads: only its loops know.
        if span is producer or not (25, 11) <= FAMILY < (25, 14):
            assert span.attributes["messaging.destination.name"] == "events"


async def test_a_sender_without_a_request_names_one(telemetry: Telemetry, bus: Bus) -> None:
    """A timer's event has a new request ID, the same at both ends, and the sender's span says that it is its own."""
    seen = Seen()
    bus.consume(session_class("Started"), seen.handler())
    await bus.start()
    await bus.send(session_event("Started", SESSION))
    await consumers(telemetry)
    producer = telemetry.only(SpanKind.PRODUCER)
    assert producer.attributes is not None
    assert seen.calls[0][0] == producer.attributes["backendai.request.id"]
    assert producer.attributes["backendai.request.origin.detail"] == "event"


async def test_only_a_sibling_field_is_added(telemetry: Telemetry, bus: Bus) -> None:
    """`metadata` has the keys that the release gave it: one more is a TypeError at every consumer of 25.12 to 26.8."""
    await bus.send(session_event("Started", SESSION))
    for instrumentor in ("events", "request_context"):
        _off(instrumentor)
    await bus.send(session_event("Started", SESSION))
    with_us, without = await bus.sent()
    carried = json.loads(with_us.pop(b"otel"))
    assert set(carried) >= {"request_id", "traceparent"}
    assert set(with_us) == set(without)
    assert {key: value for key, value in with_us.items() if key != b"metadata"} == {
        key: value for key, value in without.items() if key != b"metadata"
    }
    if b"metadata" in without:
        assert set(json.loads(with_us[b"metadata"])) == set(json.loads(without[b"metadata"]))
        assert json.loads(with_us[b"metadata"])["request_id"] == carried["request_id"]


def _off(name: str) -> None:
    instrumentors.BY_NAME[f"backendai_{name}"]().hop.uninstall()


async def test_the_handler_runs_in_nothing_of_the_readers(telemetry: Telemetry, bus: Bus) -> None:
    """What was current when the dispatcher started is no part of a handler's context, with or without a message's."""
    seen = Seen()
    bus.consume(session_class("Started"), seen.handler())
    with bind_request_id("start-up"), trace.get_tracer("test").start_as_current_span("start-up"):
        await bus.start()
    message = await bus.rendered(session_event("Started", SESSION))
    # As of a peer without the plugin, and before releases had metadata.
    await bus.write({key: value for key, value in message.items() if key not in (b"otel", b"metadata")})
    (consumer,) = await consumers(telemetry)
    assert consumer.parent is None
    assert seen.calls[0][0] not in (None, "start-up")


async def test_an_error_is_on_the_span_and_its_log_line_names_the_request(
    telemetry: Telemetry, bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    """The dispatcher logs after it has left the message's context: exactly that line says whose request it was."""
    seen = Seen(fail=True)
    bus.consume(session_class("Started"), seen.handler())
    await bus.start()
    with bind_request_id("req-err"), caplog.at_level(logging.ERROR):
        await bus.send(session_event("Started", SESSION))
    (consumer,) = await consumers(telemetry)
    assert consumer.status.status_code is StatusCode.ERROR
    records = [record for record in caplog.records if "unexpected-error" in record.getMessage()]
    for record in records:
        assert vars(record)["request_id"] == "req-err"
        assert vars(record)["otelTraceID"] == trace.format_trace_id(identity(consumer).trace_id)
        assert vars(record)["otelSpanID"] == trace.format_span_id(identity(consumer).span_id)
    # Up to 25.5, and in 25.7, the dispatcher leaves the error to its task group.
    assert OF_STREAMS or FAMILY == (25, 7) or len(records) == 1


async def test_coalesced_events_are_one_linked_run(telemetry: Telemetry, bus: Bus) -> None:
    """The handler runs once for three: a trace of its own with a link to each sender, and no span for the other two."""
    seen = Seen()
    bus.consume(session_class("Enqueued"), seen.handler(), coalescing_opts={"max_wait": 0.5, "max_batch_size": 32})
    await bus.start()
    for number in (1, 2, 3):
        with bind_request_id(f"req-{number}"):
            await bus.send(session_event("Enqueued", SESSION))
    (consumer,) = await consumers(telemetry)
    assert consumer.parent is None
    senders = {identity(span).span_id for span in telemetry.of_kind(SpanKind.PRODUCER)}
    assert len(senders) == 3
    assert {link.context.span_id for link in consumer.links} == senders
    # Done for three requests, it is none of theirs.
    ((request, _, _),) = seen.calls
    assert request not in ("req-1", "req-2", "req-3", None)
    # A single one in its window continues its sender's trace.
    telemetry.exporter.clear()
    with bind_request_id("req-4"):
        await bus.send(session_event("Enqueued", SESSION))
    (consumer,) = await consumers(telemetry)
    assert is_child(consumer, telemetry.only(SpanKind.PRODUCER))
    assert not consumer.links


async def test_an_old_message_is_linked(telemetry: Telemetry, bus: Bus) -> None:
    """Read after an outage of an hour: a trace of its own under the same request ID, with a link to the sender."""
    seen = Seen()
    bus.consume(session_class("Started"), seen.handler())
    await bus.start()
    with bind_request_id("req-old"):
        message = await bus.rendered(session_event("Started", SESSION))
    await bus.write(message, f"{int((time.time() - 3600) * 1000)}-0")
    (consumer,) = await consumers(telemetry)
    assert consumer.parent is None
    assert [link.context.span_id for link in consumer.links] == [identity(telemetry.only(SpanKind.PRODUCER)).span_id]
    assert seen.calls[0][0] == "req-old"


async def test_noise_makes_no_spans_but_has_a_request(telemetry: Telemetry, bus: Bus) -> None:
    """A tick is nobody's request: no span at either end, and a request ID for what its handler finds to do."""
    seen = Seen()
    tick = event_class("idle", "DoIdleCheck")
    bus.consume(tick, seen.handler())
    await bus.start()
    await bus.send(tick())
    ((request_id, current, _),) = await eventually(lambda: seen.calls)
    assert request_id is not None
    assert not current.trace_flags.sampled
    assert not telemetry.of_kind(SpanKind.PRODUCER)
    assert not telemetry.of_kind(SpanKind.CONSUMER)
    ((fields),) = await bus.sent()
    assert json.loads(fields[b"otel"])["request_id"] == request_id


async def test_what_a_tick_finds_to_do_is_seen(telemetry: Telemetry, bus: Bus) -> None:
    """Its handler sends an event that says something: then the tick's own span is there as well, the root of both."""
    event_class, tick = _tick()
    seen = Seen()
    ids: list[str | None] = []

    async def handle(context: Any, source: Any, event: Any) -> None:
        ids.append(current_request_id())
        # As a repository of 26.9 does: a span of upstream's in between.
        with trace.get_tracer("upstream").start_as_current_span("repository"):
            await bus.send(session_event("Started", SESSION))

    bus.consume(event_class, handle)
    bus.consume(session_class("Started"), seen.handler())
    await bus.start()
    await bus.send(tick)
    ((request_id, _, _),) = await eventually(lambda: seen.calls)
    first, second = sorted(await consumers(telemetry, 2), key=lambda span: span.start_time or 0)
    assert first.name == "process do_idle_check"
    assert first.parent is None
    producer = telemetry.only(SpanKind.PRODUCER)
    assert is_child(producer, first)
    assert is_child(second, producer)
    assert [request_id] == ids
    assert "repository" not in {span.name for span in telemetry.spans}


def _tick() -> tuple[Any, Any]:
    found = event_class("idle", "DoIdleCheck")
    return found, found()


async def test_switching_off_restores_every_object(recorded: Telemetry, bus: Bus) -> None:
    """Classes and modules of the release hold the very objects that they had before, class methods included."""
    switched_on(recorded)
    switch_off()
    hops = {instrumentor().hop for instrumentor in instrumentors.BY_NAME.values()}
    targets = [target for hop in hops for target in hop._targets if target.module in sys.modules]
    before = [_object_at(target.module, target.path) for target in targets]
    switched_on(recorded)
    changed = [
        target.path
        for target, old in zip(targets, before, strict=True)
        if _object_at(target.module, target.path) is not old
    ]
    assert any(path.startswith("EventProducer.") for path in changed)
    switch_off()
    assert [_object_at(target.module, target.path) for target in targets] == before


def _object_at(module: str, path: str) -> object:
    *owners, name = path.split(".")
    owner: Any = sys.modules[module]
    for part in owners:
        owner = getattr(owner, part, None)
    return None if owner is None else vars(owner).get(name)


@pytest.mark.releases(since="25.11")
async def test_a_broadcast_reaches_every_subscriber(telemetry: Telemetry, bus: Bus) -> None:
    """One PRODUCER span, a CONSUMER span below it per subscriber, one request ID."""
    seen = Seen()
    for _ in range(2):
        bus.subscribe(session_class("Enqueued", broadcast=True), seen.handler())
    await bus.start()
    with bind_request_id("req-b"):
        await bus.producer.broadcast_event(session_event("Enqueued", SESSION, broadcast=True))
    found = await consumers(telemetry, 2)
    producer = telemetry.only(SpanKind.PRODUCER)
    assert all(is_child(span, producer) for span in found)
    assert [request_id for request_id, _, _ in seen.calls] == ["req-b", "req-b"]
    assert producer.attributes is not None
    assert producer.attributes["messaging.destination.name"] == "events_all"


@QUEUES
async def test_a_batch_is_one_span_per_event(telemetry: Telemetry, bus: Bus) -> None:
    """Each message of a batch names its own PRODUCER span, and all have one request ID."""
    seen = Seen()
    for what in ("Enqueued", "Cancelled"):
        bus.subscribe(session_class(what, broadcast=True), seen.handler())
    await bus.start()
    await bus.producer.broadcast_events_batch(
        [session_event(what, SESSION, broadcast=True) for what in ("Enqueued", "Cancelled")]
    )
    found = await consumers(telemetry, 2)
    producers = {span.name.removeprefix("publish "): span for span in telemetry.of_kind(SpanKind.PRODUCER)}
    assert set(producers) == {"session_enqueued", "session_cancelled"}
    assert all(is_child(span, producers[span.name.removeprefix("process ")]) for span in found)
    assert len({request_id for request_id, _, _ in seen.calls}) == 1
    for producer in producers.values():
        assert producer.attributes is not None
        assert producer.attributes["backendai.request.id"] == seen.calls[0][0]
        assert producer.attributes["backendai.request.origin.detail"] == "event"


@pytest.mark.releases(since="25.11")
async def test_both_kinds_at_once_and_with_a_cache(telemetry: Telemetry, bus: Bus) -> None:
    """`anycast_and_broadcast_event` is two events of one request; a cached broadcast is one."""
    seen = Seen()
    bus.consume(session_class("Enqueued"), seen.handler())
    bus.subscribe(session_class("Enqueued", broadcast=True), seen.handler())
    await bus.start()
    await bus.producer.anycast_and_broadcast_event(
        session_event("Enqueued", SESSION), session_event("Enqueued", SESSION, broadcast=True)
    )
    await consumers(telemetry, 2)
    assert len(telemetry.of_kind(SpanKind.PRODUCER)) == 2
    assert len({request_id for request_id, _, _ in seen.calls}) == 1
    telemetry.exporter.clear()
    await bus.producer.broadcast_event_with_cache("cache-1", session_event("Enqueued", SESSION, broadcast=True))
    (consumer,) = await consumers(telemetry)
    assert is_child(consumer, telemetry.only(SpanKind.PRODUCER))


@QUEUES
async def test_a_message_that_is_queued_again_keeps_its_context(telemetry: Telemetry, bus: Bus) -> None:
    """Claimed by the auto-claim loop, which has no request: the same `otel` field, and a linked CONSUMER span."""
    seen = Seen()
    bus.consume(session_class("Started"), seen.handler())
    with bind_request_id("req-again"):
        await bus.send(session_event("Started", SESSION))
    # Read by the queue, not acknowledged: no dispatcher runs yet.
    async with asyncio.timeout(10):
        while not (await bus.redis.xpending("events", "manager"))["pending"]:  # noqa: ASYNC110  # Redis has no event
            await asyncio.sleep(0.02)
    await bus.dispatcher._msg_queue._consumer._auto_claim("events", "0-0", 0)
    first, again = await bus.sent()
    assert again[b"otel"] == first[b"otel"]
    assert again[b"_retry_count"] == b"1"
    await bus.start()
    fresh, repeated = sorted(await consumers(telemetry, 2), key=lambda span: len(span.links))
    producer = telemetry.only(SpanKind.PRODUCER)
    assert is_child(fresh, producer)
    assert not fresh.links
    assert repeated.parent is None
    assert [link.context.span_id for link in repeated.links] == [identity(producer).span_id]
    assert [request_id for request_id, _, _ in seen.calls] == ["req-again"] * 2


@pytest.mark.releases(since="26.9")
async def test_a_sender_without_the_plugin_is_continued(telemetry: Telemetry, bus: Bus) -> None:
    """26.9 names request ID and trace in `metadata`: our CONSUMER span is below the sender's span."""
    seen = Seen()
    bus.consume(session_class("Started"), seen.handler())
    await bus.start()
    with (
        bind_request_id("req-plain"),
        trace.get_tracer("test").start_as_current_span("sender") as sender,
    ):
        _off("events")
        message = await bus.rendered(session_event("Started", SESSION))
        switched_on(telemetry)
    assert b"otel" not in message
    await bus.write(message)
    (consumer,) = await consumers(telemetry)
    assert consumer.parent is not None
    assert consumer.parent.span_id == sender.get_span_context().span_id
    assert seen.calls[0][0] == "req-plain"


@pytest.mark.releases(since="26.9")
async def test_metadata_names_our_producer_span(telemetry: Telemetry, bus: Bus) -> None:
    """A consumer without the plugin continues from the PRODUCER span, in a batch as well."""
    from ai.backend.common.message_queue.payload import BroadcastMessagePayload

    channel = bus.redis.pubsub()
    await channel.subscribe("events_all")
    with bind_request_id("req-m"):
        await bus.send(session_event("Started", SESSION))
        await bus.producer.broadcast_events_batch([session_event("Enqueued", SESSION, broadcast=True)] * 2)
    ((anycast),) = await bus.sent()
    messages: list[Any] = []
    async with asyncio.timeout(10):
        while len(messages) < 2:
            message = await channel.get_message(ignore_subscribe_messages=True, timeout=1)
            messages += [message["data"]] if message else []
    await channel.close()
    named = [json.loads(anycast[b"metadata"])]
    for data in messages:
        metadata = BroadcastMessagePayload.from_json(data).metadata
        assert metadata is not None
        named.append(metadata.model_dump())
    spans = telemetry.of_kind(SpanKind.PRODUCER)
    assert [entry["traceparent"].split("-")[2] for entry in named] == [
        trace.format_span_id(identity(span).span_id) for span in spans
    ]
    assert {entry["request_id"] for entry in named} == {"req-m"}


@pytest.mark.releases(since="24.3", before="25.6")
async def test_the_experimental_dispatcher(telemetry: Telemetry, bus: Bus, redis_port: int) -> None:
    """24.03 has a second one, by an option, which reads without redis-py: its handlers continue the request, too."""
    from ai.backend.common.events_experimental import EventDispatcher
    from ai.backend.common.types import HostPortPair

    seen = Seen()
    address: Any = {"addr": HostPortPair("127.0.0.1", redis_port), "redis_helper_config": {}}
    dispatcher = await EventDispatcher.new(address, db=DB, consumer_group="other", node_id="test")
    try:
        dispatcher.consume(session_class("Started"), None, seen.handler())
        dispatcher.subscribe(session_class("Started"), None, seen.handler())
        # A reader of a stream without a group, and a new group, see only what is sent after they began.
        await asyncio.sleep(1)
        with bind_request_id("req-x"):
            await bus.send(session_event("Started", SESSION))
        found = await consumers(telemetry, 2)
    finally:
        await asyncio.wait_for(dispatcher.close(), 20)
    assert all(is_child(span, telemetry.only(SpanKind.PRODUCER)) for span in found)
    assert [request_id for request_id, _, _ in seen.calls] == ["req-x", "req-x"]
