# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The lifecycle queue of the installed release's agent."""

import asyncio
import contextvars
import gc
import logging
import uuid
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.context import Context

from otel_backendai import request_id
from otel_backendai.api import bind_request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.background import run_scope
from otel_backendai.instrumentors import BackgroundInstrumentor, LogsInstrumentor
from otel_backendai.releases import lifecycle
from tests.conftest import Telemetry


@pytest.fixture
def background(recorded: Telemetry) -> Telemetry:
    """The hop on, with its adapters, as the entry point brings it."""
    BackgroundInstrumentor().hop.install(recorded.provider)
    return recorded


class Config(dict[str, Any]):
    """The agent's configuration: a mapping in the older releases, attributes in the newer ones."""

    def __init__(self) -> None:
        super().__init__(debug={"log-events": True})
        self.debug = SimpleNamespace(log_events=True)


def agent() -> Any:
    """An agent with its queue and nothing else; what its handlers find is in ``seen``."""
    from ai.backend.agent.agent import AbstractAgent

    backend = type("Agent", (AbstractAgent,), {})
    backend.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]  # of abstract classes only
    made: Any = object.__new__(backend)
    made.local_config = Config()
    made.container_lifecycle_queue = asyncio.Queue()
    made.registry_lock = asyncio.Lock()
    made.seen = []

    class Registry(dict[Any, Any]):
        def get(self, key: Any, default: Any = None) -> Any:
            made.seen.append(request_id.read())
            return default

    made.kernel_registry = Registry()

    async def save_last_registry(*args: Any, **kwargs: Any) -> None:
        return None

    made.save_last_registry = save_last_registry
    return made


def event(kind: str = "START") -> Any:
    """One event of the queue."""
    from ai.backend.agent.types import ContainerLifecycleEvent, LifecycleEvent
    from ai.backend.common.events import KernelLifecycleEventReason

    reason = KernelLifecycleEventReason.USER_REQUESTED
    return ContainerLifecycleEvent(uuid.uuid4(), uuid.uuid4(), "c0ffee", LifecycleEvent[kind], reason)


def event_of(other: Any, kind: str) -> Any:
    """Another event about the same kernel."""
    from ai.backend.agent.types import ContainerLifecycleEvent, LifecycleEvent

    return ContainerLifecycleEvent(other.kernel_id, other.session_id, "c0ffee", LifecycleEvent[kind], other.reason)


async def daemon_event(other: Any, kind: str) -> Any:
    """The same, to be made in a task that no request has started."""
    return event_of(other, kind)


class Lines(logging.Handler):
    """Keeps records."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)


async def handle(made: Any) -> None:
    """Let the agent's own task work the queue off."""
    from ai.backend.agent import agent as module

    await made.container_lifecycle_queue.put(module._sentinel)
    await asyncio.wait_for(made.process_lifecycle_events(), 10)


async def test_a_handler_runs_in_the_context_of_the_request(background: Telemetry) -> None:
    """Request ID and parent are those of the request that put the event there; two requests stay two."""
    made = agent()
    tracer = background.provider.get_tracer("test")
    parents, events = {}, []
    for value in ("req-1", "req-2"):
        with bind_request_id(value), tracer.start_as_current_span("destroy_kernel") as span:
            events.append(event())
            await made.container_lifecycle_queue.put(events[-1])
            parents[value] = span.get_span_context().span_id
    await handle(made)
    assert sorted(made.seen) == ["req-1", "req-2"]
    spans = [span for span in background.spans if span.name == "container lifecycle start"]
    assert {(span.attributes or {})["backendai.request.id"]: span.parent and span.parent.span_id for span in spans} == (
        parents
    )
    assert {(span.attributes or {})["backendai.kernel.id"] for span in spans} == {str(e.kernel_id) for e in events}
    assert {(span.attributes or {})["backendai.session.id"] for span in spans} == {str(e.session_id) for e in events}


async def test_the_line_about_an_event_names_its_request(background: Telemetry) -> None:
    """``lifecycle event: ...`` is written by the task that takes events out, before any handler runs."""
    made, lines = agent(), Lines()
    logger = logging.getLogger("ai.backend.agent.agent")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(lines)
    LogsInstrumentor().hop.install(background.provider)
    queue = made.container_lifecycle_queue
    try:
        for value in ("req-1", None, "req-2"):
            with bind_request_id(value) if value else nullcontext():
                await made.container_lifecycle_queue.put(event())
        await handle(made)
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)
    about = [vars(line)["request_id"] for line in lines.kept if line.getMessage().startswith("lifecycle event: ")]
    assert about == ["req-1", None, "req-2"]
    # What the task logs when the agent stops is nobody's, and the agent has its own queue again.
    assert [vars(line)["request_id"] for line in lines.kept if "Sentinel" in line.getMessage()] in ([], [None])
    assert made.container_lifecycle_queue is queue


async def test_what_the_daemon_noticed_is_a_root(background: Telemetry) -> None:
    """No request put it there: a request ID of its own, and no parent."""
    made = agent()
    await made.container_lifecycle_queue.put(event())
    with bind_request_id("bystander"):
        await handle(made)
    (value,) = made.seen
    assert request_id.is_acceptable(value)
    assert value != "bystander"
    (span,) = background.spans
    assert span.parent is None
    assert (span.attributes or {})["backendai.request.origin.detail"] == "background"


async def test_what_the_daemon_reports_is_of_who_did_something_with_the_session(background: Telemetry) -> None:
    """A container that is destroyed dies: the daemon says so before the request gets to it, in nobody's context."""
    made, destroyed = agent(), event("DESTROY")
    by_daemon = await asyncio.create_task(daemon_event(destroyed, "START"), context=contextvars.Context())
    assert lifecycle._context_of(by_daemon) == Context()
    with bind_request_id("destroy"):
        event_of(destroyed, "DESTROY")
    by_daemon = await asyncio.create_task(daemon_event(destroyed, "START"), context=contextvars.Context())
    await made.container_lifecycle_queue.put(by_daemon)
    await handle(made)
    assert made.seen == ["destroy"]


async def test_what_the_daemon_reports_first_is_of_the_creation(background: Telemetry) -> None:
    """A container has started: the session's request is known here, or by the cluster's Redis."""
    made, started = agent(), event()
    deferred.sessions.remember(str(started.session_id), request_id.bind("create", Context()))
    by_daemon = await asyncio.create_task(daemon_event(started, "START"), context=contextvars.Context())
    await made.container_lifecycle_queue.put(by_daemon)
    await handle(made)
    assert made.seen == ["create"]


async def test_what_a_timer_noticed_is_below_its_run(background: Telemetry) -> None:
    """A timer that is noise has found something to do: its run's span, with the origin of its ID, is the root."""
    made = agent()
    with run_scope("Agent.sync_container_lifecycles", Context(), quiet=True):
        await made.container_lifecycle_queue.put(event())
    with run_scope("Agent.sync_container_lifecycles", Context(), quiet=True):
        pass  # nothing noticed
    await handle(made)
    spans = {span.name: span for span in background.spans}
    root, child = spans.pop("Agent.sync_container_lifecycles"), spans.pop("container lifecycle start")
    assert spans == {}
    assert root.parent is None
    assert (root.attributes or {})["backendai.request.origin.detail"] == "background"
    assert child.parent is not None
    assert child.parent.span_id == root.context.span_id
    assert made.seen == [(root.attributes or {})["backendai.request.id"]]


@pytest.mark.parametrize("kind", ["START", "DESTROY", "CLEAN"])
async def test_all_three_handlers(kind: str, background: Telemetry) -> None:
    """Each is wrapped; what it does with an agent as bare as ours is its own affair, and passes."""
    made, one = agent(), None
    with bind_request_id("req-1"):
        one = event(kind)
    await asyncio.gather(getattr(made, f"_handle_{kind.lower()}_event")(one), return_exceptions=True)
    span = next(span for span in background.spans if span.name == f"container lifecycle {kind.lower()}")
    assert (span.attributes or {})["backendai.request.id"] == "req-1"


def test_nothing_is_kept_of_an_event_that_is_gone(background: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table follows the events, and has a limit."""
    gc.collect()  # what earlier tests left to it
    before = len(lifecycle._kept)
    events = [event() for _ in range(20)]
    assert len(lifecycle._kept) == before + 20
    monkeypatch.setattr(lifecycle, "MAX_KEPT", before + 20)
    events.append(event())
    assert len(lifecycle._kept) == before + 20
    events.clear()
    gc.collect()
    assert len(lifecycle._kept) == before
