# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The schedulers of the installed release: what they do for one session runs in that session's context.

Only what stands around the scheduler is replaced (its database, its agents); its own methods are the released ones.
"""

import importlib
import uuid
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, get_current_span

from otel_backendai import request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.background import run_scope
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_REQUEST_ID
from otel_backendai.releases import session_statuses
from tests.conftest import Telemetry
from tests.releases.bus import FAMILY

DISPATCHER = pytest.mark.releases(before="25.12")
SOKOVAN = pytest.mark.releases(since="25.15")

# What ran: for which session, under which request ID, in which trace.
Seen = list[tuple[uuid.UUID, str | None, int]]


def created(count: int) -> dict[uuid.UUID, str]:
    """Sessions and the requests that made them."""
    made = {uuid.uuid4(): f"request-{number}" for number in range(count)}
    for session, request in made.items():
        with SpanScope(deferred.HOP.tracer, "POST /session", SpanKind.SERVER, request_id.bind(request, Context())):
            session_statuses.created(session)
    return made


def note(seen: Seen, session: uuid.UUID) -> None:
    """Write down what the current context says."""
    seen.append((session, request_id.read(), get_current_span().get_span_context().trace_id))


def assert_each_in_its_own(seen: Seen, made: dict[uuid.UUID, str], telemetry: Telemetry) -> None:
    """Each session was worked for once, under its request's ID and in its request's trace."""
    traces = {
        (span.attributes or {}).get(ATTRIBUTE_REQUEST_ID): span.context.trace_id
        for span in telemetry.of_kind(SpanKind.SERVER)
    }
    assert sorted(seen) == sorted((session, request, traces[request]) for session, request in made.items())


@DISPATCHER
async def test_the_dispatcher_starts_each_in_its_own(telemetry: Telemetry) -> None:
    """`prepare()` runs in the context of one request and starts the sessions of all."""
    dispatcher = importlib.import_module("ai.backend.manager.scheduler.dispatcher").SchedulerDispatcher
    seen: Seen = []

    async def start_session(_: Any, session: Any) -> None:
        note(seen, session.id)

    scheduler: Any = object.__new__(dispatcher)
    scheduler.registry = SimpleNamespace(start_session=start_session)
    made = created(3)
    with SpanScope(deferred.HOP.tracer, "GET /", SpanKind.CONSUMER, request_id.bind("request-last", Context())):
        for session in made:
            row = SimpleNamespace(
                id=session, kernels=[None], session_type="", name="", access_key="", cluster_mode="", status=""
            )
            await scheduler.start_session(None, row)
    assert_each_in_its_own(seen, made, telemetry)


@SOKOVAN
async def test_sokovan_starts_each_in_its_own(telemetry: Telemetry) -> None:
    """A tick starts several sessions; here each fails for want of kernels, which the scheduler stores."""
    launcher = _launcher()
    seen: Seen = []

    async def update_session_error_info(session: uuid.UUID, _: Any) -> None:
        note(seen, session)

    launcher._repository = SimpleNamespace(update_session_error_info=update_session_error_info)
    made = created(3)
    with run_scope("tick", Context(), quiet=True):
        for session in made:
            row = SimpleNamespace(
                session_id=session, kernels=[], session_type="", name="", access_key="", cluster_mode=""
            )
            await launcher._start_single_session(row, {})
    assert_each_in_its_own(seen, made, telemetry)
    assert [span.name for span in telemetry.of_kind(SpanKind.INTERNAL)] == ["start session"] * 3


@SOKOVAN
async def test_images_of_one_session(telemetry: Telemetry) -> None:
    """The agent is asked for one session's images in its context."""
    (session,) = made = created(1)
    seen: Seen = []
    await _pull([session], lambda: note(seen, session))
    assert_each_in_its_own(seen, made, telemetry)


@SOKOVAN
async def test_images_of_several_sessions(telemetry: Telemetry) -> None:
    """A pull for several is none of theirs: a span of its own, linked to each."""
    made = created(3)
    seen: Seen = []
    await _pull(list(made), lambda: note(seen, next(iter(made))))
    pull, tick = telemetry.of_kind(SpanKind.INTERNAL)
    assert (pull.name, tick.name) == ("pull images", "tick")
    requests = telemetry.of_kind(SpanKind.SERVER)
    assert {link.context.span_id for link in pull.links} == {span.context.span_id for span in requests}
    assert (pull.attributes or {}).get(ATTRIBUTE_REQUEST_ID) not in made.values()


async def _pull(sessions: list[uuid.UUID], asked: Callable[[], None]) -> None:
    launcher = _launcher()

    class Client:
        async def __aenter__(self) -> "Client":
            return self

        async def __aexit__(self, *_: Any) -> None:
            return None

        async def check_and_pull(self, _: Any) -> dict[str, str]:
            asked()
            return {}

    pool = SimpleNamespace(acquire=lambda _: Client(), get_agent_client=lambda _: Client())
    launcher._agent_client_pool = launcher._agent_pool = pool
    image = SimpleNamespace(canonical="image", to_image_config=lambda _: {})
    kernel = SimpleNamespace(agent_id="i-1", image_id="image", image="image")
    rows = [SimpleNamespace(session_id=session, kernels=[kernel]) for session in sessions]

    async def pull() -> None:
        await launcher._trigger_image_pulling_for_sessions(rows, {"image": image})

    with run_scope("tick", Context(), quiet=True):
        if FAMILY < (26, 1):
            await pull()
            return
        recorder = importlib.import_module("ai.backend.manager.sokovan.recorder.context").RecorderContext
        with recorder.scope("tick", sessions):
            await pull()


@SOKOVAN
async def test_sessions_are_kept_when_they_are_stored(telemetry: Telemetry) -> None:
    """The repository answers the ID of a new session; from then on its context is known, before anybody is told."""
    session = uuid.uuid4()

    async def enqueue(_: Any) -> uuid.UUID:
        return session

    repository = _repository(enqueue_session=enqueue, enqueue_session_from_spec=enqueue)
    store = getattr(repository, "enqueue_session_from_spec", None) or repository.enqueue_session
    context = request_id.bind("request-1", Context())
    with SpanScope(deferred.HOP.tracer, "POST /session", SpanKind.SERVER, context):
        await store(None)
    kept = deferred.sessions.find(str(session))
    assert kept is not None
    assert (request_id.read(kept.context), kept.status) == ("request-1", "PENDING")


@SOKOVAN
async def test_a_request_that_ends_a_session_takes_it_over(telemetry: Telemetry) -> None:
    """What destroys the session later continues the request that asked for its end; a tick takes nothing over."""
    (session,) = created(1)

    async def mark(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(terminating_sessions=[session])

    repository = _repository(mark_sessions_terminating=mark)
    with run_scope("tick", Context(), quiet=True):
        await repository.mark_sessions_terminating([session])
    assert _owner(session) == "request-0"
    with SpanScope(deferred.HOP.tracer, "DELETE", SpanKind.SERVER, request_id.bind("request-2", Context())):
        await repository.mark_sessions_terminating([session])
    assert _owner(session) == "request-2"


@SOKOVAN
async def test_ticks_are_marked(telemetry: Telemetry) -> None:
    """Whatever a tick runs in, what it does is for anyone."""
    coordinator = importlib.import_module("ai.backend.manager.sokovan.scheduler.coordinator").ScheduleCoordinator
    marked: list[bool] = []

    async def load_and_delete_schedule_mark(_: Any) -> bool:
        marked.append(deferred.is_anyones(context_api.get_current()))
        return False

    made: Any = object.__new__(coordinator)
    made._valkey_schedule = SimpleNamespace(load_and_delete_schedule_mark=load_and_delete_schedule_mark)
    await made.process_if_needed(SimpleNamespace(value="schedule"))
    assert marked == [True]


def _owner(session: uuid.UUID) -> str | None:
    kept = deferred.sessions.find(str(session))
    return None if kept is None else request_id.read(kept.context)


def _repository(**answers: Callable[..., Awaitable[Any]]) -> Any:
    repository = importlib.import_module("ai.backend.manager.repositories.scheduler.repository").SchedulerRepository
    made: Any = object.__new__(repository)
    made._db_source = SimpleNamespace(**answers)
    return made


def _launcher() -> Any:
    package = "ai.backend.manager.sokovan.scheduler"
    if FAMILY < (25, 19):
        made: Any = object.__new__(importlib.import_module(f"{package}.scheduler").Scheduler)
    else:
        made = object.__new__(importlib.import_module(f"{package}.launcher.launcher").SessionLauncher)
    image = SimpleNamespace(auto_pull=SimpleNamespace(value="digest"))
    config = SimpleNamespace(debug=SimpleNamespace(enabled=False), docker=SimpleNamespace(image=image))
    made._config_provider = SimpleNamespace(config=config)
    return made
