# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the installed release runs by itself, and what it runs later for a request."""

import asyncio
import importlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from otel_backendai import request_id
from otel_backendai.api import bind_request_id
from otel_backendai.instrumentors import BackgroundInstrumentor
from tests.conftest import Telemetry


@pytest.fixture
def background(recorded: Telemetry) -> Telemetry:
    """The hop on, with its adapters, as the entry point brings it."""
    BackgroundInstrumentor().hop.install(recorded.provider)
    return recorded


class Task:
    """A periodic task, as Backend.AI's crons see one."""

    initial_delay = 0.0
    run_timeout = None

    def __init__(self, interval: float, work: Callable[[], Awaitable[None]]) -> None:
        self.interval, self.work = interval, work
        self.name = "sweep"
        self.seen: list[str | None] = []
        self.done = asyncio.Event()

    async def run(self) -> None:
        """One run; the second ends the test's wait."""
        self.seen.append(request_id.read())
        await self.work()
        if len(self.seen) == 2:
            self.done.set()


async def nothing() -> None:
    """What most runs do."""


async def run_twice(cron: str, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a cron of the release run ``task`` twice: its sleeps of a minute and more take no time."""
    module = importlib.import_module(f"ai.backend.common.{cron.rpartition('.')[0]}")
    sleep = asyncio.sleep
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": lambda seconds: sleep(0.001)}))
    runner = getattr(module, cron.rpartition(".")[2])([task])
    runner._leadership_checker = SimpleNamespace(is_leader=True)
    with bind_request_id("starter"):
        loop = asyncio.create_task(runner._run_task(task))
    try:
        await asyncio.wait_for(task.done.wait(), 10)
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


def by_name(telemetry: Telemetry) -> dict[str, ReadableSpan]:
    """The finished spans; the last of a name."""
    return {span.name: span for span in telemetry.spans}


CRON_CLASSES = [
    pytest.param("cron.local_cron.LocalCron", marks=pytest.mark.releases(since="26.4")),
    pytest.param("leader.tasks.leader_cron.LeaderCron", marks=pytest.mark.releases(since="25.15")),
]


@pytest.mark.parametrize("cron", CRON_CLASSES)
async def test_each_run_of_a_cron(cron: str, background: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root span and a request ID of its own, nothing of the request that started the cron."""
    task = Task(3600.0, nothing)
    await run_twice(cron, task, monkeypatch)
    assert all(map(request_id.is_acceptable, task.seen))
    assert len(set(task.seen)) == len(task.seen)
    assert "starter" not in task.seen
    spans = background.spans
    assert [(span.attributes or {})["backendai.request.id"] for span in spans] == task.seen
    for span in spans:
        assert (span.name, span.parent) == ("sweep", None)
        assert (span.attributes or {})["code.function.name"] == "Task.run"
        assert (span.attributes or {})["backendai.request.origin.detail"] == "background"


@pytest.mark.parametrize("cron", CRON_CLASSES)
async def test_frequent_runs_are_noise(cron: str, background: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """No span for a run that finds nothing to do, a request ID all the same."""
    task = Task(5.0, nothing)
    await run_twice(cron, task, monkeypatch)
    assert all(map(request_id.is_acceptable, task.seen))
    assert background.spans == ()


@pytest.mark.releases(since="25.11")
async def test_observers(background: Telemetry) -> None:
    """Each observation has a request ID; frequent ones are noise, a failing one is seen."""
    from ai.backend.common.runner.types import Runner

    seen: list[str | None] = []
    runner = Runner(resources=[])

    class Observer:
        name = "volumes"

        async def observe(self) -> None:
            seen.append(request_id.read())
            if len(seen) == 2:
                runner._closed_event.set()
                raise LookupError("gone")

        def observe_interval(self) -> float:
            return 0.001

        def timeout(self) -> float | None:
            return None

        async def cleanup(self) -> None:
            return None

    await asyncio.wait_for(runner._run_observer(Observer()), 10)
    assert len(set(seen)) == 2
    (span,) = background.spans
    assert span.name == "volumes"
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["backendai.request.id"] == seen[1]
    assert (span.attributes or {})["backendai.request.origin.detail"] == "background"


class Producer:
    """Takes events and forgets them: what a background task reports is another hop's."""

    redis_client = None

    def __getattr__(self, name: str) -> Any:
        async def produce(*args: Any, **kwargs: Any) -> None:
            return None

        return produce


def manager() -> Any:
    """A manager of background tasks without its servers."""
    module = importlib.import_module("ai.backend.common.bgtask")
    if not hasattr(module, "BackgroundTaskManager"):
        module = importlib.import_module("ai.backend.common.bgtask.bgtask")
    made = object.__new__(module.BackgroundTaskManager)
    made.event_producer = made._event_producer = made._redis_client = Producer()
    made._ongoing_tasks = {}
    made._metric_observer = SimpleNamespace(
        observe_bgtask_started=lambda **_: None, observe_bgtask_done=lambda **_: None
    )
    return made


@pytest.fixture
def no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to 25.10 a background task's progress is written by its manager."""
    from ai.backend.common import redis_helper

    async def execute(*args: Any, **kwargs: Any) -> None:
        return None

    monkeypatch.setattr(redis_helper, "execute", execute)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_background_task(fails: bool, background: Telemetry, no_redis: None) -> None:
    """Below the request that started it, under its request ID; its exception, which becomes an event, is seen."""
    seen: list[str | None] = []

    async def rescan(reporter: Any) -> None:
        seen.append(request_id.read())
        if fails:
            raise LookupError("gone")

    tracer = background.provider.get_tracer("test")
    task_id = uuid.uuid4()
    with bind_request_id("req-1"), tracer.start_as_current_span("request") as request:
        work = asyncio.create_task(manager()._wrapper_task(rescan, task_id, None))
    await asyncio.wait_for(work, 10)
    assert seen == ["req-1"]
    span = next(span for span in background.spans if span.name.endswith("rescan"))
    assert span.parent is not None
    assert span.parent.span_id == request.get_span_context().span_id
    assert (span.attributes or {})["backendai.request.id"] == "req-1"
    assert (span.attributes or {})["backendai.bgtask.id"] == str(task_id)
    assert (span.status.status_code is StatusCode.ERROR) is fails


@pytest.mark.releases(since="25.15")
async def test_a_retriable_background_task(background: Telemetry) -> None:
    """A new one belongs to its request, one that is revived after a crash to nobody; both are named after the task."""
    from contextlib import asynccontextmanager

    seen: list[str | None] = []

    class Hook:
        @asynccontextmanager
        async def apply(self, context: Any) -> AsyncIterator[Any]:
            yield context

    class Executor:
        async def run(self, *args: Any) -> Any:
            seen.append(request_id.read())
            raise LookupError("gone")

        execute_new_task = revive_task = run

    registry = importlib.import_module("ai.backend.common.bgtask.task.registry").BackgroundTaskHandlerRegistry()
    registry._executor_registry["clone_vfolder"] = Executor()
    made = manager()
    made._hook, made._task_registry, made._valkey_client = Hook(), registry, Producer()
    # Text in 25.15, an enumeration of texts later: this is both.
    name = type("Name", (str,), {"value": "clone_vfolder"})("clone_vfolder")
    task_id = uuid.uuid4()
    with bind_request_id("req-1"):
        await made._execute_new_task(name, task_id, "whole", SimpleNamespace())
        await made._revive_task(name, SimpleNamespace(task_id=task_id, body={}), "whole")
    assert seen[0] == "req-1" != seen[1]
    first, second = background.spans
    assert first.name == second.name == "clone_vfolder"
    for span, value in zip((first, second), seen, strict=True):
        assert (span.attributes or {})["backendai.request.id"] == value
        assert span.status.status_code is StatusCode.ERROR
    assert second.parent is None


def test_the_original_functions_come_back() -> None:
    """Uninstalling restores what the release brought, also that of modules imported later."""
    hop = BackgroundInstrumentor().hop
    module = importlib.import_module("ai.backend.agent.types")
    original = module.ContainerLifecycleEvent.__init__
    hop.install(trace.NoOpTracerProvider())
    try:
        assert module.ContainerLifecycleEvent.__init__ is not original
    finally:
        hop.uninstall()
    assert module.ContainerLifecycleEvent.__init__ is original
