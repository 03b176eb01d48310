# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Changes of a session's status that no event tells of, noted where the release writes them into its database.

Sokovan sends an event when a session gets on. A session that is put back into the queue, that has waited for too long,
or whose kernels could not be made, changes its status without one; so does, in 25.15, one that a request ends.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final

from otel_backendai.guard import Guard
from otel_backendai.hops.deferred import HOP
from otel_backendai.releases.arguments import Argument
from otel_backendai.releases.session_statuses import PENDING, TERMINATING, changed
from otel_backendai.releases.session_waits import waits

Coroutine = Callable[..., Awaitable[Any]]

_REPOSITORY = "ai.backend.manager.repositories.scheduler.repository"
_DATABASE = "ai.backend.manager.repositories.scheduler.db_source.db_source"
_COORDINATOR = "ai.backend.manager.sokovan.scheduler.coordinator"

# What the release answers when it was told to end sessions, and what those are in then; the last from 26.4 on.
_ENDS: Final = {
    "cancelled_sessions": "CANCELLED",
    "terminating_sessions": TERMINATING,
    "force_terminated_sessions": "TERMINATED",
}
# An event follows these.
_TOLD: Final = "SUCCESS"
# A pending session passes this in every so many ticks, for as long as it waits: a word about its wait, and no status.
_STILL_PENDING: Final = "DEPRIORITIZING"
# What 25.15 says of it in its log, and all releases of the other in the session's row.
_RETRIED: Final = "exceeded max retries"
_ALL_CANCELLED: Final = "All kernels cancelled"

_NOTE = Guard("silent transitions: note")


@HOP.wraps(_REPOSITORY, "SchedulerRepository.mark_sessions_terminating")
def _wrap_mark_terminating(original: Coroutine) -> Coroutine:
    # By requests, and by the sweeper of 25.15, whose end of a pending session has no event.
    reason = Argument(original, 2)

    @functools.wraps(original)
    async def mark(*args: Any, **kwargs: Any) -> Any:
        result = await original(*args, **kwargs)
        if HOP.active:
            with _NOTE:
                for name, status in _ENDS.items():
                    for session in getattr(result, name, ()):
                        changed(session, status, reason.of(args, kwargs))
        return result

    return mark


@HOP.wraps(_REPOSITORY, "SchedulerRepository.batch_update_stuck_session_retries")
def _wrap_retries(original: Coroutine) -> Coroutine:
    # To 25.15: those that may not try again wait once more.
    stuck = Argument(original, 1)

    @functools.wraps(original)
    async def update(*args: Any, **kwargs: Any) -> Any:
        retried = await original(*args, **kwargs)
        if HOP.active:
            with _NOTE:
                for session in set(stuck.of(args, kwargs)).difference(retried):
                    changed(session, PENDING, _RETRIED)
        return retried

    return update


@HOP.wraps(_COORDINATOR, "ScheduleCoordinator._apply_transition")
def _wrap_apply(original: Coroutine) -> Coroutine:
    # From 26.1 on: what has expired, or is given up.
    arguments = [Argument(original, position) for position in range(1, 5)]

    @functools.wraps(original)
    async def apply(*args: Any, **kwargs: Any) -> Any:
        applied = await original(*args, **kwargs)
        if HOP.active:
            with _NOTE:
                _note_transition(*(argument.of(args, kwargs) for argument in arguments))
        return applied

    return apply


def _note_transition(handler: str, sessions: Any, transition: Any, outcome: Any) -> None:
    if transition.session is None or outcome.value == _TOLD:
        return
    status = transition.session.name
    for info in sessions:
        # The release's history has the first part, its handler says the second.
        said = getattr(info, "message", None) or info.reason
        reason = f"{handler} {outcome.value.lower()}" + (f": {said}" if said else "")
        if status == _STILL_PENDING:
            waits(info.session_id, reason)
        else:
            changed(info.session_id, status, reason)


@HOP.wraps(_DATABASE, "ScheduleDBSource.check_and_cancel_session_if_needed")
def _wrap_cancel(original: Coroutine) -> Coroutine:
    # An agent could make no kernel of it, or no image was there for any.
    session = Argument(original, 1)

    @functools.wraps(original)
    async def cancel(*args: Any, **kwargs: Any) -> Any:
        is_cancelled = await original(*args, **kwargs)
        if HOP.active and is_cancelled:
            with _NOTE:
                changed(session.of(args, kwargs), "CANCELLED", _ALL_CANCELLED, is_asked=False)
        return is_cancelled

    return cancel
