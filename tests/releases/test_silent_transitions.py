# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Changes of a status that the installed release makes without an event are in the trace of the session's request.

Only what stands around the scheduler is replaced (its database, its agents); its own methods are the released ones.
"""

import importlib
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import (
    ATTRIBUTE_REQUEST_ID,
    ATTRIBUTE_SESSION_ID,
    ATTRIBUTE_SESSION_NEXT_STATUS,
    ATTRIBUTE_SESSION_REASON,
    ATTRIBUTE_SESSION_STATUS,
)
from otel_backendai.releases import session_statuses
from tests.conftest import Telemetry

OF_25_15 = pytest.mark.releases(since="25.15", before="25.16")
SOKOVAN = pytest.mark.releases(since="25.15")
CLASSIFIES = pytest.mark.releases(since="26.4")

_SCHEDULER = "ai.backend.manager.sokovan.scheduler"
_REPOSITORY = "ai.backend.manager.repositories.scheduler"


def request(name: str) -> SpanScope:
    """What a request to the manager runs in."""
    return SpanScope(deferred.HOP.tracer, "POST /session", SpanKind.SERVER, request_id.bind(name, Context()))


def created(status: str = "PENDING") -> uuid.UUID:
    """A session that a request has made, and that a tick has brought to ``status``; the spans of that are left out."""
    session = uuid.uuid4()
    with request("request-1"):
        session_statuses.created(session)
    if status != "PENDING":
        with tick():
            session_statuses.changed(session, status)
    return session


def tick() -> SpanScope:
    """What a run of the scheduler is in: nobody's context, marked as work for anyone."""
    return SpanScope(None, "", SpanKind.INTERNAL, deferred.with_shared_work(context_api.get_current()))


def told(telemetry: Telemetry, session: uuid.UUID) -> list[tuple[str, str, str]]:
    """Status, next status and reason of the spans about a session, which are all of the request that made it."""
    found = []
    for span in telemetry.spans:
        attributes = span.attributes or {}
        if attributes.get(ATTRIBUTE_SESSION_ID) == str(session) and attributes.get(ATTRIBUTE_SESSION_STATUS):
            assert attributes[ATTRIBUTE_REQUEST_ID] == "request-1"
            status, following = attributes[ATTRIBUTE_SESSION_STATUS], attributes.get(ATTRIBUTE_SESSION_NEXT_STATUS, "")
            found.append((str(status), str(following), str(attributes.get(ATTRIBUTE_SESSION_REASON, ""))))
    return found


def repository(**answers: Callable[..., Awaitable[Any]]) -> Any:
    """The release's repository of its scheduler, above a database that answers this."""
    made: Any = object.__new__(importlib.import_module(f"{_REPOSITORY}.repository").SchedulerRepository)
    made._db_source = SimpleNamespace(**answers)
    return made


@OF_25_15
async def test_retries_are_exhausted(telemetry: Telemetry) -> None:
    """A session that is put back waits a second time; one that is tried again stays where it is."""
    back, again = created("CREATING"), created("CREATING")

    async def batch_update_stuck_session_retries(*_: Any) -> list[uuid.UUID]:
        return [again]

    async def get_sessions_for_start(*_: Any) -> Any:
        rows = [SimpleNamespace(session_id=one, creation_id="", access_key="", kernels=[]) for one in (back, again)]
        return SimpleNamespace(sessions=rows, image_configs={})

    async def start(*_: Any) -> None:
        return None

    scheduler: Any = object.__new__(importlib.import_module(f"{_SCHEDULER}.scheduler").Scheduler)
    scheduler._repository = repository(
        batch_update_stuck_session_retries=batch_update_stuck_session_retries,
        get_sessions_for_start=get_sessions_for_start,
    )
    scheduler._start_sessions_concurrently = start
    with tick():
        await scheduler.retry_creating_sessions()
        session_statuses.changed(back, "SCHEDULED")
    assert told(telemetry, back)[1:] == [
        ("CREATING", "PENDING", "exceeded max retries"),
        ("PENDING", "SCHEDULED", ""),
    ]
    assert told(telemetry, again)[1:] == []


@OF_25_15
async def test_the_sweeper_ends_what_waits(telemetry: Telemetry) -> None:
    """Its reason is in the creation's trace, and nobody takes the session over."""
    session = created()

    async def get_pending_timeout_sessions() -> list[Any]:
        return [SimpleNamespace(session_id=session, creation_id="", access_key="")]

    async def mark_sessions_terminating(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(cancelled_sessions=[session], terminating_sessions=[])

    scheduler: Any = object.__new__(importlib.import_module(f"{_SCHEDULER}.scheduler").Scheduler)
    scheduler._repository = repository(
        get_pending_timeout_sessions=get_pending_timeout_sessions, mark_sessions_terminating=mark_sessions_terminating
    )
    with tick():
        await scheduler.sweep_stale_sessions()
    assert told(telemetry, session) == [("PENDING", "CANCELLED", "PENDING_TIMEOUT")]
    assert owner(session) == "request-1"


@SOKOVAN
async def test_a_request_that_cancels_is_told_once(telemetry: Telemetry) -> None:
    """The repository knows the reason before the event that follows; the time until then is the creation's."""
    session = created()

    async def mark_sessions_terminating(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(cancelled_sessions=[session], terminating_sessions=[])

    ends = repository(mark_sessions_terminating=mark_sessions_terminating)
    with request("request-2"):
        await ends.mark_sessions_terminating([session], "user-requested")
        event = SimpleNamespace(session_id=session, status_transition="CANCELLED", reason="user-requested")
        session_statuses.sent("scheduling", event)
    assert told(telemetry, session) == [("PENDING", "CANCELLED", "user-requested")]
    assert owner(session) == "request-2"


@SOKOVAN
async def test_no_kernel_could_be_made(telemetry: Telemetry) -> None:
    """The session is cancelled with its last kernel; who tells of a kernel, maybe another's request, owns nothing."""
    session, other = created("PREPARING"), created("PREPARING")
    source = importlib.import_module(f"{_REPOSITORY}.db_source.db_source").ScheduleDBSource
    counts = iter((0, 1))

    class Session:
        async def __aenter__(self) -> Any:
            return self

        async def __aexit__(self, *_: Any) -> None:
            return None

        async def execute(self, statement: Any) -> Any:
            return SimpleNamespace(scalar=lambda: next(counts), scalar_one=lambda: datetime.now(UTC), rowcount=1)

    database: Any = object.__new__(source)
    database._db = SimpleNamespace(begin_session_read_committed=Session)
    database._begin_session_read_committed = Session
    with request("request-2"):
        for one in (session, other):
            await database.check_and_cancel_session_if_needed(one)
    assert told(telemetry, session)[1:] == [("PREPARING", "CANCELLED", "All kernels cancelled")]
    assert told(telemetry, other)[1:] == []
    assert owner(session) == "request-1"


async def classified(session: uuid.UUID, module: str, name: str, limit: dict[str, Any]) -> None:
    """Let the release's coordinator deal with a failure that its handler reports.

    Args:
        session: What failed, for the fifth time, after an hour.
        module: Of the handler, below ``handlers``.
        name: The handler's class.
        limit: What a handler may do at the most: ``timeout``, ``max_retry_count``.
    """
    options = importlib.import_module("ai.backend.manager.data.session.options")
    types = importlib.import_module("ai.backend.manager.data.session.types")
    results = importlib.import_module(f"{_SCHEDULER}.results")
    reasons = importlib.import_module("ai.backend.common.events.event_types.kernel.types")
    handler: Any = object.__new__(getattr(importlib.import_module(f"{_SCHEDULER}.handlers.{module}"), name))
    updated: list[Any] = []

    async def get_db_now() -> datetime:
        return datetime.now(UTC)

    async def update_with_history(*_: Any) -> int:
        updated.append(session)
        return 1

    coordinator: Any = object.__new__(importlib.import_module(f"{_SCHEDULER}.coordinator").ScheduleCoordinator)
    coordinator._repository = repository(get_db_now=get_db_now, update_with_history=update_with_history)
    coordinator._apply_kernel_pending_resets = update_with_history
    began = datetime.now(UTC) - timedelta(hours=1)
    waiting = SimpleNamespace(
        session_info=SimpleNamespace(
            identity=SimpleNamespace(id=session),
            handler_options=options.SessionHandlerOptions(default=options.HandlerOptions(**limit)),
        ),
        # 26.4, and later ones.
        phase_attempts=5,
        phase_started_at=began,
        last_phase=SimpleNamespace(attempts=5, started_at=began, result=types.SchedulingResult.NEED_RETRY),
    )
    failure = results.SessionTransitionInfo(
        session_id=session,
        from_status=types.SessionStatus.PENDING,
        reason=reasons.KernelLifecycleEventReason.PENDING_TIMEOUT,
    )
    with tick():
        await coordinator._handle_result(handler, results.SessionExecutionResult(failures=[failure]), {}, [waiting])
    assert updated[:1] == [session]


@CLASSIFIES
async def test_a_pending_session_expires(telemetry: Telemetry) -> None:
    """Its time in PENDING ends, with what the release says; that of its end belongs to the creation, too."""
    session = created()
    limit = {"timeout": 5, "max_retry_count": None}
    await classified(session, "maintenance.sweep_sessions", "SweepSessionsLifecycleHandler", limit)
    with tick():
        session_statuses.changed(session, "TERMINATED", "terminated")
    assert told(telemetry, session) == [
        ("PENDING", "TERMINATING", "sweep-sessions expired: pending-timeout"),
        ("TERMINATING", "TERMINATED", "terminated"),
    ]
    assert owner(session) == "request-1"


@CLASSIFIES
async def test_a_start_expires(telemetry: Telemetry) -> None:
    """A session that is put back waits a second time."""
    session = created("CREATING")
    limit = {"timeout": 5, "max_retry_count": None}
    await classified(session, "lifecycle.start_sessions", "StartSessionsLifecycleHandler", limit)
    with tick():
        session_statuses.changed(session, "SCHEDULED")
    assert told(telemetry, session)[1:] == [
        ("CREATING", "PENDING", "start-sessions expired: pending-timeout"),
        ("PENDING", "SCHEDULED", ""),
    ]


@CLASSIFIES
async def test_a_start_is_given_up(telemetry: Telemetry) -> None:
    """The session is ended by the scheduler, in the trace of its creation."""
    session = created("PREPARED")
    limit = {"max_retry_count": 5}
    await classified(session, "lifecycle.start_sessions", "StartSessionsLifecycleHandler", limit)
    assert told(telemetry, session)[1:] == [("PREPARED", "TERMINATING", "start-sessions give_up: pending-timeout")]


@CLASSIFIES
async def test_a_session_that_is_deprioritized_waits_on(telemetry: Telemetry) -> None:
    """It passes that status every few ticks for as long as it waits, maybe for days: said once, and it is pending."""
    session = created()
    for _ in range(20):
        limit = {"max_retry_count": 5}
        await classified(session, "lifecycle.schedule_sessions", "ScheduleSessionsLifecycleHandler", limit)
        with tick():
            event = SimpleNamespace(session_id=session, status_transition="PENDING", reason="deprioritized")
            session_statuses.sent("scheduling", event)
    assert told(telemetry, session) == [("PENDING", "", "schedule-sessions give_up: pending-timeout")]
    with tick():
        session_statuses.changed(session, "SCHEDULED")
    assert told(telemetry, session)[1:] == [("PENDING", "SCHEDULED", "")]


@CLASSIFIES
async def test_what_has_an_event_is_left_to_it(telemetry: Telemetry) -> None:
    """A success is followed by an event, which knows the reason."""
    session = created()
    types = importlib.import_module("ai.backend.manager.data.session.types")

    async def update_with_history(*_: Any) -> int:
        return 1

    coordinator: Any = object.__new__(importlib.import_module(f"{_SCHEDULER}.coordinator").ScheduleCoordinator)
    coordinator._repository = repository(update_with_history=update_with_history)
    info = SimpleNamespace(session_id=session, from_status=types.SessionStatus.PENDING, error_code=None, reason=None)
    transition = types.TransitionStatus(session=types.SessionStatus.SCHEDULED)
    with tick():
        success = types.SchedulingResult.SUCCESS
        await coordinator._apply_transition("schedule-sessions", [info], transition, success, {}, datetime.now(UTC))
    assert told(telemetry, session) == []


def owner(session: uuid.UUID) -> str | None:
    """The request that what comes later continues."""
    kept = deferred.sessions.find(str(session))
    return None if kept is None else request_id.read(kept.context)
