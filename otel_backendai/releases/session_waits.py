# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Why a session waits, as spans of its trace which are there before its time in PENDING has ended.

A status is a span when it ends, so of a session that never gets on there would be nothing. Every release's scheduler
looks at what is pending again and again, and says why it leaves a session where it is: what it says makes a span
``session waits``, which names a status and no next one. Each begins where the one before it ended.
"""

import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops import deferred
from otel_backendai.hops.background import function_name
from otel_backendai.hops.deferred import HOP, session_scope
from otel_backendai.hops.kept import Kept
from otel_backendai.hops.kept_settings import DEFAULT_LIMIT
from otel_backendai.hops.recent import Recent
from otel_backendai.hops.span_errors import clean_text
from otel_backendai.names import (
    ATTRIBUTE_REQUEST_ID,
    ATTRIBUTE_SESSION_ID,
    ATTRIBUTE_SESSION_REASON,
    ATTRIBUTE_SESSION_STATUS,
    CODE_FUNCTION_NAME,
)
from otel_backendai.releases.arguments import Argument
from otel_backendai.releases.dwindling import AGAIN, LIMIT
from otel_backendai.releases.entities import entity_text
from otel_backendai.releases.session_statuses import PENDING

Coroutine = Callable[..., Awaitable[Any]]

NAME: Final = "session waits"

_HANDLER = "ai.backend.manager.sokovan.scheduler.handlers.lifecycle.schedule_sessions"
_REPOSITORY = "ai.backend.manager.repositories.scheduler.repository"
_DISPATCHER = "ai.backend.manager.scheduler.dispatcher"
_PREDICATES = "ai.backend.manager.scheduler.predicates"

# What the dispatcher raises when no agent has room.
_REFUSAL = "InstanceNotAvailable"

_WAIT = Guard("session waits")


@dataclass(frozen=True, slots=True)
class _Told:
    """What was told of a session in the stay that began at ``since``, the last time at ``until``; seconds."""

    since: float
    until: float
    reasons: frozenset[int] = frozenset()


_told: Recent[str, _Told] = Recent(DEFAULT_LIMIT)


def forget() -> None:
    """Tell everything anew."""
    _told.clear()


def waits(session: object, reason: object) -> None:
    """Note that a scheduler has looked at a pending session and left it there.

    Args:
        session: The session's ID.
        reason: What the release says about it.
    """
    with _WAIT:
        text = entity_text(session)
        if text is not None and HOP.active:
            deferred.sessions.when_found(text, functools.partial(_waits, text, clean_text(str(reason)), time.time()))


def _waits(session: str, reason: str, now: float, kept: Kept) -> None:
    if kept.status not in (None, PENDING):
        return
    since = kept.since or kept.at
    told = _told.get(session)
    if told is None or told.since != since:
        told = _Told(since, since)
    # Not their texts, which may be long, of ten thousand sessions; and they may hold figures, which change every tick.
    reasons = told.reasons | {hash(reason)}
    is_new = len(told.reasons) < len(reasons) <= LIMIT
    if now < told.until or not (is_new or now - told.until >= max(AGAIN, told.until - since)):
        return
    _told.put(session, _Told(since, now, reasons if is_new else told.reasons))
    attributes: dict[str, AttributeValue] = {
        ATTRIBUTE_SESSION_ID: session,
        ATTRIBUTE_SESSION_STATUS: PENDING,
        ATTRIBUTE_SESSION_REASON: reason,
    }
    request = request_id.read(kept.context)
    if request is not None:
        attributes[ATTRIBUTE_REQUEST_ID] = request
    context, links = deferred.context_of(kept)
    span = HOP.tracer.start_span(NAME, context, SpanKind.INTERNAL, attributes, links, int(told.until * 1e9))
    span.end(int(now * 1e9))


@HOP.wraps(_HANDLER, "ScheduleSessionsLifecycleHandler.execute")
def _wrap_execute(original: Coroutine) -> Coroutine:
    @functools.wraps(original)
    async def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = await original(self, *args, **kwargs)
        if HOP.active:
            with _WAIT:
                for left in (*result.failures, *result.skipped):
                    waits(left.session_id, getattr(left, "message", None) or left.reason or "")
        return result

    return execute


@HOP.wraps(_REPOSITORY, "SchedulerRepository.allocate_sessions")
def _wrap_allocate(original: Coroutine) -> Coroutine:
    # 25.15 hands the sessions that it could not place to the database with the others; from 26.8 on it is a list.
    batch = Argument(original, 1)

    @functools.wraps(original)
    async def allocate(*args: Any, **kwargs: Any) -> Any:
        if HOP.active:
            with _WAIT:
                for failure in getattr(batch.of(args, kwargs), "failures", ()):
                    waits(failure.session_id, failure.msg)
        return await original(*args, **kwargs)

    return allocate


def _wrap_predicate(original: Coroutine) -> Coroutine:
    session = Argument(original, 2)

    @functools.wraps(original)
    async def check(*args: Any, **kwargs: Any) -> Any:
        result = await original(*args, **kwargs)
        if HOP.active:
            with _WAIT:
                if not result.passed:
                    waits(session.of(args, kwargs).id, result.message or original.__name__)
        return result

    return check


for _name in (
    "check_reserved_batch_session",
    "check_concurrency",
    "check_dependencies",
    "check_keypair_resource_limit",
    "check_user_resource_limit",
    "check_group_resource_limit",
    "check_domain_resource_limit",
    "check_pending_session_count_limit",
    "check_pending_session_resource_limit",
):
    HOP.wraps(_PREDICATES, _name)(_wrap_predicate)
    # By the names that the dispatcher calls: those of 25.11 are taken before the `backend.ai` command comes to us.
    HOP.wraps(_DISPATCHER, _name)(_wrap_predicate)


@HOP.wraps(_DISPATCHER, "SchedulerDispatcher._schedule_single_node_session")
@HOP.wraps(_DISPATCHER, "SchedulerDispatcher._schedule_multi_node_session")
def _wrap_attempt(original: Coroutine) -> Coroutine:
    # 23.09 and 24.03 try a session that does not fit again in every tick: a refusal is no span but a reason to wait.
    attributes = {CODE_FUNCTION_NAME: function_name(original)}

    @functools.wraps(original)
    async def attempt(self: Any, *args: Any, **kwargs: Any) -> Any:
        session, scope = None, None
        if HOP.active:
            with _WAIT:
                session = entity_text(args[4].id)
                scope = None if session is None else session_scope("schedule session", session, attributes)
        if scope is None:
            return await original(self, *args, **kwargs)
        with scope:
            try:
                return await original(self, *args, **kwargs)
            except Exception as error:
                if type(error).__name__ == _REFUSAL:
                    scope.forget()
                    waits(session, getattr(error, "extra_msg", None) or error)
                raise

    return attempt
