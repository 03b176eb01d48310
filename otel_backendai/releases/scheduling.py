# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The schedulers of all releases: where a session is made, and where something is done for one session.

23.09 and 24.03 schedule in handlers of events (`SchedulerDispatcher`), maybe in the context of the request that came
last; 25.15 and later in ticks (`sokovan`). Both do whatever is pending, so both are marked as work for anyone.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.trace import Link, SpanKind, get_current_span

from otel_backendai.guard import Guard
from otel_backendai.hops import deferred
from otel_backendai.hops.background import function_name
from otel_backendai.hops.deferred import HOP, session_scope
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import CODE_FUNCTION_NAME
from otel_backendai.releases import session_statuses
from otel_backendai.releases.arguments import Argument
from otel_backendai.releases.entities import entity_text

Coroutine = Callable[..., Awaitable[Any]]

_DISPATCHER = "ai.backend.manager.scheduler.dispatcher"
_REPOSITORY = "ai.backend.manager.repositories.scheduler.repository"
_COORDINATOR = "ai.backend.manager.sokovan.scheduler.coordinator"
_LAUNCHER = "ai.backend.manager.sokovan.scheduler.launcher.launcher"
_SCHEDULER = "ai.backend.manager.sokovan.scheduler.scheduler"

_SCOPE = Guard("scheduling: scope")


@HOP.wraps(_REPOSITORY, "SchedulerRepository.enqueue_session")
@HOP.wraps(_REPOSITORY, "SchedulerRepository.enqueue_session_from_spec")
def _wrap_enqueue(original: Coroutine) -> Coroutine:
    @functools.wraps(original)
    async def enqueue(self: Any, *args: Any, **kwargs: Any) -> Any:
        if HOP.active:
            deferred.sessions.expect()
        session = await original(self, *args, **kwargs)
        if HOP.active:
            session_statuses.created(session)
        return session

    return enqueue


@HOP.wraps(_DISPATCHER, "SchedulerDispatcher.schedule")
@HOP.wraps(_DISPATCHER, "SchedulerDispatcher.check_precond")
@HOP.wraps(_DISPATCHER, "SchedulerDispatcher.prepare")
@HOP.wraps(_DISPATCHER, "SchedulerDispatcher.start")
@HOP.wraps(_DISPATCHER, "SchedulerDispatcher.scale_services")
@HOP.wraps(_COORDINATOR, "ScheduleCoordinator.process_schedule")
@HOP.wraps(_COORDINATOR, "ScheduleCoordinator.process_if_needed")
def _wrap_shared(original: Coroutine) -> Coroutine:
    @functools.wraps(original)
    async def shared(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not HOP.active:
            return await original(self, *args, **kwargs)
        with SpanScope(None, "", SpanKind.INTERNAL, deferred.with_shared_work(context_api.get_current())):
            return await original(self, *args, **kwargs)

    return shared


def _per_session(name: str, session_of: Callable[..., object]) -> Callable[[Coroutine], Coroutine]:
    """A factory for a method that works for one session, whose ID ``session_of`` takes from its arguments."""

    def wrap(original: Coroutine) -> Coroutine:
        attributes = {CODE_FUNCTION_NAME: function_name(original)}

        @functools.wraps(original)
        async def work(self: Any, *args: Any, **kwargs: Any) -> Any:
            scope = None
            if HOP.active:
                with _SCOPE:
                    session = entity_text(session_of(*args, **kwargs))
                    scope = None if session is None else session_scope(name, session, attributes)
            if scope is None:
                return await original(self, *args, **kwargs)
            with scope:
                return await original(self, *args, **kwargs)

        return work

    return wrap


HOP.wraps(_DISPATCHER, "SchedulerDispatcher.start_session")(
    _per_session("start session", lambda _, session, **__: session.id)
)
_START = _per_session("start session", lambda session, *_, **__: session.session_id)
HOP.wraps(_LAUNCHER, "SessionLauncher._start_single_session")(_START)
HOP.wraps(_SCHEDULER, "Scheduler._start_single_session")(_START)
HOP.wraps(_COORDINATOR, "ScheduleCoordinator._execute_single_hook")(
    _per_session("run hooks of session", lambda session, *_, **__: session.session_info.identity.id)
)


@HOP.wraps(_LAUNCHER, "SessionLauncher._trigger_image_pulling_for_sessions")
@HOP.wraps(_SCHEDULER, "Scheduler._trigger_image_pulling_for_sessions")
def _wrap_pull(original: Coroutine) -> Coroutine:
    attributes = {CODE_FUNCTION_NAME: function_name(original)}
    sessions = Argument(original, 1)

    @functools.wraps(original)
    async def pull(*args: Any, **kwargs: Any) -> Any:
        scope = None
        if HOP.active:
            with _SCOPE:
                pulled = [str(session.session_id) for session in sessions.of(args, kwargs)]
                scope = _pull_scope(pulled, attributes)
        if scope is None:
            return await original(*args, **kwargs)
        with scope:
            return await original(*args, **kwargs)

    return pull


def _pull_scope(pulled: list[str], attributes: dict[str, str]) -> SpanScope | None:
    """One session's pull is in its trace; one for several is nobody's, and linked to each."""
    if len(pulled) == 1:
        return session_scope("pull images", pulled[0], attributes)
    found = [kept for kept in map(deferred.sessions.find, pulled) if kept is not None]
    requests = [get_current_span(kept.context).get_span_context() for kept in found]
    links = [Link(request) for request in requests if request.is_valid]
    if not links:
        return None
    return SpanScope(HOP.tracer, "pull images", SpanKind.INTERNAL, context_api.get_current(), attributes, links)
