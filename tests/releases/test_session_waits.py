# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the scheduler of the installed release says of a session for which it has no room is told in its trace."""

import importlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.background import run_scope
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_REQUEST_ID, ATTRIBUTE_SESSION_REASON
from otel_backendai.releases import session_statuses
from tests.conftest import Telemetry
from tests.releases.bus import FAMILY

DISPATCHER = pytest.mark.releases(before="26.2")


def created() -> uuid.UUID:
    """A session that a request has made."""
    session = uuid.uuid4()
    with SpanScope(deferred.HOP.tracer, "POST /session", SpanKind.SERVER, request_id.bind("request-1", Context())):
        session_statuses.created(session)
    return session


def only_wait(telemetry: Telemetry) -> ReadableSpan:
    """The one span below the ticks, which is about waiting and in the request's trace; returns it."""
    (span,) = [span for span in telemetry.of_kind(SpanKind.INTERNAL) if span.name != "tick"]
    assert span.name == "session waits"
    assert (span.attributes or {})[ATTRIBUTE_REQUEST_ID] == "request-1"
    assert span.context.trace_id == telemetry.only(SpanKind.SERVER).context.trace_id
    return span


@DISPATCHER
async def test_the_dispatcher_has_no_room(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tries again in every tick: that is one span, and none for the attempts."""
    # The manager's modules import each other in a circle, which must be entered here.
    importlib.import_module("ai.backend.manager.models")
    module = importlib.import_module("ai.backend.manager.scheduler.dispatcher")

    async def nothing(*_: Any) -> None:
        return None

    @asynccontextmanager
    async def begin_session() -> AsyncIterator[Any]:
        yield SimpleNamespace(execute=nothing)

    dispatcher: Any = object.__new__(module.SchedulerDispatcher)
    dispatcher.db = SimpleNamespace(begin_session=begin_session)
    if FAMILY < (25, 12):
        monkeypatch.setattr(module, "_rollback_predicate_mutations", nothing)
    else:
        dispatcher.schedule_repository = SimpleNamespace(_update_session_scheduling_failure=nothing)
    kernel = SimpleNamespace(architecture="x86_64")
    row = SimpleNamespace(id=created(), kernels=[kernel], main_kernel=kernel)
    # The results of checks; before 24.09 the order of resources comes before them.
    more: list[list[Any]] = [[], []] if FAMILY < (24, 9) else [[]]
    for _ in range(3):
        with run_scope("tick", Context(), quiet=True), pytest.raises(Exception, match="No agents are available"):
            await dispatcher._schedule_single_node_session(None, None, "default", [], row, *more)
    assert "No agents are available" in str((only_wait(telemetry).attributes or {})[ATTRIBUTE_SESSION_REASON])


@DISPATCHER
async def test_a_predicate_fails(telemetry: Telemetry) -> None:
    """Quotas, dependencies and times are checked by functions that answer with a message."""
    predicates = importlib.import_module("ai.backend.manager.scheduler.predicates")
    types = importlib.import_module("ai.backend.common.types")
    time = importlib.import_module("datetime")

    async def scalar(_: Any) -> Any:
        return time.datetime.now(time.UTC) + time.timedelta(hours=1)

    row = SimpleNamespace(id=created(), session_type=types.SessionTypes.BATCH)
    with run_scope("tick", Context(), quiet=True):
        result = await predicates.check_reserved_batch_session(SimpleNamespace(scalar=scalar), None, row)
    assert not result.passed
    assert (only_wait(telemetry).attributes or {})[ATTRIBUTE_SESSION_REASON] == "Before start time"


@pytest.mark.releases(since="25.15", before="26.4")
async def test_the_first_sokovan_has_no_room(telemetry: Telemetry) -> None:
    """What it could not place goes to the repository with the allocations of the same tick."""
    repository = importlib.import_module("ai.backend.manager.repositories.scheduler.repository").SchedulerRepository
    where = "data.allocation" if FAMILY >= (26, 3) else "scheduler.types"
    types = importlib.import_module(f"ai.backend.manager.sokovan.{where}")
    made: Any = object.__new__(repository)

    async def allocate_sessions(_: Any) -> list[Any]:
        return []

    made._db_source = SimpleNamespace(allocate_sessions=allocate_sessions)
    failure = types.SchedulingFailure(session_id=created(), msg="no agent fits")
    with run_scope("tick", Context(), quiet=True):
        await made.allocate_sessions(types.AllocationBatch([], [failure]))
    assert (only_wait(telemetry).attributes or {})[ATTRIBUTE_SESSION_REASON] == "no agent fits"


@pytest.mark.releases(since="26.4")
async def test_sokovan_has_no_room(telemetry: Telemetry) -> None:
    """Its handler reports what could not be placed, and why."""
    package = "ai.backend.manager.sokovan.scheduler.handlers.lifecycle.schedule_sessions"
    handler = importlib.import_module(package).ScheduleSessionsLifecycleHandler
    session = created()
    result = SimpleNamespace(
        scheduled_session_ids=[],
        reserved_session_ids=[],
        preemption_plan=[],
        scheduling_skips=[],
        scheduling_failures=[SimpleNamespace(session_id=session, msg="no agent fits")],
    )

    async def answer(*_: Any) -> Any:
        return result

    repository = SimpleNamespace(get_scheduling_data=answer, get_db_now=answer)
    provisioner = SimpleNamespace(schedule_scaling_group=answer, schedule_resource_group=answer)
    info = SimpleNamespace(
        identity=SimpleNamespace(id=session, creation_id="c"),
        lifecycle=SimpleNamespace(status="PENDING"),
        metadata=SimpleNamespace(access_key="k"),
    )
    # 26.4 makes it of two parts, later ones of three.
    asked: Any = object.__new__(handler)
    asked._provisioner, asked._repository = provisioner, repository
    for _ in range(3):
        with run_scope("tick", Context(), quiet=True):
            await asked.execute("default", [SimpleNamespace(session_info=info)])
    assert (only_wait(telemetry).attributes or {})[ATTRIBUTE_SESSION_REASON] == "no agent fits"
