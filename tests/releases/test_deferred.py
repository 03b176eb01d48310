# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What is left to schedulers, with the classes of a released Backend.AI: its events, its recorders, its Redis."""

import asyncio
import importlib
import time
import uuid
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.background import run_scope
from otel_backendai.hops.kept_contexts import KeptContexts
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import (
    ATTRIBUTE_REQUEST_ID,
    ATTRIBUTE_SESSION_ID,
    ATTRIBUTE_SESSION_NEXT_STATUS,
    ATTRIBUTE_SESSION_STATUS,
    SESSION_KEY_PREFIX,
)
from tests.conftest import Telemetry
from tests.releases.bus import FAMILY, OF_REDIS_PY, Bus, redis_object, session_class

EVENTS_PER_STATUS = pytest.mark.releases(before="25.12")
TRANSITIONS = pytest.mark.releases(since="25.15")
RECORDERS = pytest.mark.releases(since="26.1")


def attribute(span: ReadableSpan, name: str) -> Any:
    """An attribute of a finished span."""
    return (span.attributes or {}).get(name)


def identity(span: ReadableSpan) -> Any:
    """Trace and span ID."""
    context: Any = span.context
    return context.trace_id, context.span_id


def statuses(telemetry: Telemetry) -> list[tuple[str, str, str, str]]:
    """Session, request, status and next status of the finished status spans, in the order of their ends."""
    return [
        (
            attribute(span, ATTRIBUTE_SESSION_ID),
            attribute(span, ATTRIBUTE_REQUEST_ID),
            attribute(span, ATTRIBUTE_SESSION_STATUS),
            attribute(span, ATTRIBUTE_SESSION_NEXT_STATUS),
        )
        for span in telemetry.spans
        if attribute(span, ATTRIBUTE_SESSION_STATUS)
    ]


def request_scope(request: str) -> SpanScope:
    """What a request to the manager runs in."""
    return SpanScope(deferred.HOP.tracer, "POST /session", SpanKind.SERVER, request_id.bind(request, Context()))


async def tell(bus: Bus, session: uuid.UUID, status: str) -> None:
    """Send the release's event that a session is in ``status`` now."""
    if FAMILY < (25, 13):
        name = {"PENDING": "Enqueued", "RUNNING": "Started"}.get(status, status.capitalize())
        arguments = (session, "creation") if status not in ("TERMINATING", "TERMINATED") else (session,)
        await bus.send(session_class(name)(*arguments))
        return
    module = importlib.import_module("ai.backend.common.events.event_types.session.broadcast")
    event = module.SchedulingBroadcastEvent(
        session_id=session, creation_id="creation", status_transition=status, reason="because"
    )
    await bus.producer.broadcast_events_batch([event])


async def test_ten_sessions_in_common_ticks(telemetry: Telemetry, bus: Bus) -> None:
    """Ten requests, one tick per status for all: ten traces, each with the statuses of its session alone."""
    made = {uuid.uuid4(): f"request-{number}" for number in range(10)}
    for session, request in made.items():
        with request_scope(request):
            await tell(bus, session, "PENDING")
    for status in ("SCHEDULED", "PREPARING", "RUNNING"):
        with run_scope("tick", Context(), quiet=True):
            for session in made:
                await tell(bus, session, status)
    found = statuses(telemetry)
    for session, request in made.items():
        assert [one[1:] for one in found if one[0] == str(session)] == [
            (request, "PENDING", "SCHEDULED"),
            (request, "SCHEDULED", "PREPARING"),
            (request, "PREPARING", "RUNNING"),
        ]
    roots = {attribute(span, ATTRIBUTE_REQUEST_ID): span for span in telemetry.of_kind(SpanKind.SERVER)}
    about = [span for span in telemetry.spans if attribute(span, ATTRIBUTE_SESSION_ID)]
    assert len(about) == 10 * (3 + 4)  # statuses, and an event for each
    for span in about:
        request = made[uuid.UUID(attribute(span, ATTRIBUTE_SESSION_ID))]
        assert attribute(span, ATTRIBUTE_REQUEST_ID) == request
        assert identity(span)[0] == identity(roots[request])[0]


async def test_the_end_belongs_to_who_asked_for_it(telemetry: Telemetry, bus: Bus) -> None:
    """A destroy request has a context of its own, and what it causes continues that one; RUNNING is no span."""
    session = uuid.uuid4()
    with request_scope("request-1"):
        await tell(bus, session, "PENDING")
    with run_scope("tick", Context(), quiet=True):
        await tell(bus, session, "RUNNING")
    with request_scope("request-2"):
        await tell(bus, session, "TERMINATING")
    with run_scope("tick", Context(), quiet=True):
        await tell(bus, session, "TERMINATED")
    assert [one[1:] for one in statuses(telemetry)] == [
        ("request-1", "PENDING", "RUNNING"),
        ("request-2", "TERMINATING", "TERMINATED"),
    ]


async def test_another_manager_learns_it_from_the_clusters_redis(
    telemetry: Telemetry, bus: Bus, redis_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is the release's own; a manager that comes later finds there what it did not see."""
    await make_a_client(redis_port)
    store = deferred.sessions.store
    assert store is not None
    session = uuid.uuid4()
    with request_scope("request-1"):
        await tell(bus, session, "PENDING")
    later = KeptContexts(SESSION_KEY_PREFIX, 10, 60)
    later.store = store
    monkeypatch.setattr(deferred, "sessions", later)
    deadline = time.monotonic() + 10
    while later.find(str(session)) is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    kept = later.find(str(session))
    assert kept is not None
    assert request_id.read(kept.context) == "request-1"


async def make_a_client(port: int) -> None:
    """As the release's components make one for their events."""
    if OF_REDIS_PY:
        await redis_object(port, 4).close()
        return
    # By the module that has this function under a name of its own.
    clients = importlib.import_module("ai.backend.common.clients.valkey_client.valkey_stream.client")
    types = importlib.import_module("ai.backend.common.types")
    if FAMILY < (25, 13):
        target = types.RedisTarget(addr=types.HostPortPair("127.0.0.1", port))
        clients.create_valkey_client(target=target, db_id=4, human_readable_name="events")
        return
    target = types.ValkeyTarget(addr=f"127.0.0.1:{port}")
    clients.create_valkey_client(valkey_target=target, db_id=4, human_readable_name="events")


@RECORDERS
def test_the_schedulers_own_records(telemetry: Telemetry) -> None:
    """Phases and steps of each session are spans of its trace; what a later tick repeats is not told again."""
    recorder = importlib.import_module("ai.backend.manager.sokovan.recorder.context").RecorderContext
    made = {uuid.uuid4(): f"request-{number}" for number in range(3)}
    for session, request in made.items():
        with request_scope(request):
            deferred.remember(str(session))
    for _ in range(2):
        shared = deferred.with_shared_work(context_api.get_current())
        with SpanScope(None, "", SpanKind.INTERNAL, shared), recorder.scope("tick", list(made)) as pool:
            with recorder.shared_phase("sequencing"), recorder.shared_step("fifo"):
                pass
            for session in made:
                own = pool.recorder(session)
                with pytest.raises(ValueError, match="no resources"), own.phase("allocation"), own.step("select_agent"):
                    raise ValueError("no resources")
            pool.build_all_records()
    spans = telemetry.of_kind(SpanKind.INTERNAL)
    for session, request in made.items():
        own = [span for span in spans if attribute(span, ATTRIBUTE_SESSION_ID) == str(session)]
        assert sorted(span.name for span in own) == [
            "scheduler allocation",
            "scheduler fifo",
            "scheduler select_agent",
            "scheduler sequencing",
        ]
        assert {attribute(span, ATTRIBUTE_REQUEST_ID) for span in own} == {request}
        failed = next(span for span in own if span.name == "scheduler select_agent")
        assert failed.status.description == "no resources"
