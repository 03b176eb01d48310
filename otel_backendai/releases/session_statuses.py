# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The time that a session spends in each status, as spans of its trace; read off the events about it.

Every release tells all managers by an event when a session's status changes: 23.09 and 24.03 by one event for each
status, later ones by ``scheduling`` events which name it. Who sends it ends the span of the status before, at the time
of the change; who receives it knows since when the session is in its status, and may be the one who ends it. What no
event tells all of them, who changes it tells them itself.
"""

import functools
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops import deferred
from otel_backendai.hops.deferred import HOP
from otel_backendai.hops.kept import Kept
from otel_backendai.hops.span_errors import clean_text
from otel_backendai.names import (
    ATTRIBUTE_REQUEST_ID,
    ATTRIBUTE_SESSION_ID,
    ATTRIBUTE_SESSION_NEXT_STATUS,
    ATTRIBUTE_SESSION_REASON,
    ATTRIBUTE_SESSION_STATUS,
)
from otel_backendai.releases.entities import entity_text

# The status that a session has when this event is sent.
STATUS_BY_EVENT = {
    "session_enqueued": "PENDING",
    "session_scheduled": "SCHEDULED",
    "session_preparing": "PREPARING",
    "session_started": "RUNNING",
    "session_cancelled": "CANCELLED",
    "session_terminating": "TERMINATING",
    "session_terminated": "TERMINATED",
}
_TRANSITION_EVENT = "scheduling"
# In 23.09 and 24.03 one of the managers gets it, to call the user's hook.
_OF_ONE_MANAGER = "session_preparing"

PENDING = "PENDING"
TERMINATING = "TERMINATING"
# A session stays here for hours: no span of a trace. Its end is what a later request, or its own end, starts with.
_LASTING = frozenset({"RUNNING", "TERMINATED", "CANCELLED", "ERROR"})

RESTARTING = "RESTARTING"
# What a later request asks for, and takes the session over with: its end, by force at once, or a new start.
_ASKED_FOR = frozenset({TERMINATING, "TERMINATED", "CANCELLED", RESTARTING})

_ON_THE_WAY = frozenset({"SCHEDULED", "PREPARING", "PULLING", "PREPARED", "CREATING", "RUNNING"})
_PULLING = "PULLING"

_NOTE = Guard("session statuses: note")


@HOP.wraps("ai.backend.manager.models.session", "SessionRow.set_session_status")
def _wrap_set_status(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    # 23.09 and 24.03: the one status that no event of a session tells of; it lasts until RUNNING, for want of CREATING.
    @functools.wraps(original)
    async def set_session_status(db: Any, session_id: Any, status: Any, *args: Any, **kwargs: Any) -> Any:
        result = await original(db, session_id, status, *args, **kwargs)
        if HOP.active and status.name == _PULLING:
            changed(session_id, _PULLING, kwargs.get("reason"))
        return result

    return set_session_status


def is_on_the_way(status: str) -> bool:
    """Whether a session in this status is on its way to RUNNING or to its end."""
    return status in (PENDING, TERMINATING) or status in _ON_THE_WAY - _LASTING


def sent(name: str, event: Any) -> None:
    """Note an event that this process sends, in the context that it is sent in; before it is sent."""
    with _NOTE:
        status = _status(name, event)
        if status is not None:
            reason = getattr(event, "reason", None)
            changed(getattr(event, "session_id", None), status, reason, is_heard=name != _OF_ONE_MANAGER)


def changed(
    session: object, status: str, reason: object = None, *, is_asked: bool = True, is_heard: bool = False
) -> None:
    """Note that this process has changed a session's status, in the context that it did so in.

    Args:
        session: The session's ID.
        status: The status that it is in now.
        reason: What the release says about it, a text if anything.
        is_asked: Whether the request in whose context that was may have asked for it; if not, it takes nothing over.
        is_heard: Whether an event tells all managers.
    """
    with _NOTE:
        text = entity_text(session)
        if text is None or not HOP.active:
            return
        context = context_api.get_current()
        adopted = request_id.read(context) if is_asked and not deferred.is_anyones(context) else None
        if adopted is not None and status not in _ASKED_FOR:
            _adopt(text, status, adopted)
        # The time that a later request puts an end to is not that request's.
        _change(text, status, reason, ends=True, tells=not is_heard)
        if adopted is not None and status in _ASKED_FOR:
            _adopt(text, status, adopted)


def arrived(name: str, event: Any) -> None:
    """Note an event that this process received, maybe from itself."""
    with _NOTE:
        status = _status(name, event)
        session = entity_text(getattr(event, "session_id", None))
        if status is not None and session is not None and HOP.active:
            _change(session, status, None, ends=False, tells=False)


def created(session: object) -> None:
    """Note that a session was put into the database, by the request whose context is current."""
    with _NOTE:
        text = entity_text(session)
        if text is not None:
            deferred.remember(text, PENDING)


def _status(name: str, event: Any) -> str | None:
    if name == _TRANSITION_EVENT:
        status = getattr(event, "status_transition", None)
        return status if type(status) is str and status.isidentifier() else None
    return STATUS_BY_EVENT.get(name)


def _adopt(session: str, status: str, current: str | None) -> None:
    """What a request does with a session is that request's: creation at first, its end or restart by another one."""
    if status != PENDING and status not in _ASKED_FOR:
        return
    kept = deferred.sessions.find(session)
    if kept is None or request_id.read(kept.context) != current:
        deferred.remember(session, status if kept is None else None)


def _change(session: str, status: str, reason: object, *, ends: bool, tells: bool) -> None:
    deferred.sessions.when_found(session, partial(_changed, session, status, time.time(), reason, ends, tells))


def _changed(session: str, status: str, at: float, reason: object, ends: bool, tells: bool, kept: Kept) -> None:
    before, since = kept.status, kept.since
    if before == status or at < since:
        return
    kept.status, kept.since = status, at
    if tells:
        deferred.sessions.tell_status(session, kept)
    if not ends:
        return
    if before is None and status in _ON_THE_WAY and at - kept.at <= deferred.MAX_AGE_OF_CHILD:
        # What the manager before this one saw of it is gone with that one; the time since the request is not.
        before, since = f"before {status}", kept.at
    if before is not None and before not in _LASTING:
        _span(session, before, since, status, at, reason, kept)


def _span(session: str, status: str, since: float, following: str, at: float, reason: object, kept: Kept) -> None:
    attributes: dict[str, AttributeValue] = {
        ATTRIBUTE_SESSION_ID: session,
        ATTRIBUTE_SESSION_STATUS: status,
        ATTRIBUTE_SESSION_NEXT_STATUS: following,
    }
    request = request_id.read(kept.context)
    if request is not None:
        attributes[ATTRIBUTE_REQUEST_ID] = request
    if isinstance(reason, str) and reason:
        # 23.09's reasons are enumerated texts, which ``str`` calls by their names.
        attributes[ATTRIBUTE_SESSION_REASON] = clean_text(str.__str__(reason))
    context, links = deferred.context_of(kept)
    span = HOP.tracer.start_span(f"session {status}", context, SpanKind.INTERNAL, attributes, links, int(since * 1e9))
    span.end(int(at * 1e9))
