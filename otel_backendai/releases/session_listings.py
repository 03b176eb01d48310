# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What schedulers up to 25.19 read from the database before they act: sessions that a manager may not know yet.

A manager that was restarted finds the contexts of others' sessions in Redis, and nothing ever waits for that answer. So
it is asked for as soon as the sessions are listed; until the first of them is acted on, the database is written to.
(From 26.1 on the recorders name the sessions of a tick, see :mod:`otel_backendai.releases.scheduling_records`.)
"""

import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from otel_backendai.guard import Guard
from otel_backendai.hops import deferred
from otel_backendai.hops.deferred import HOP
from otel_backendai.releases.entities import entity_text
from otel_backendai.releases.session_statuses import is_on_the_way

Coroutine = Callable[..., Awaitable[Any]]

_DISPATCHER = "ai.backend.manager.scheduler.dispatcher"
# Its successor in 25.12, and in those later ones that are told to schedule as it does.
_SCHEDULES = "ai.backend.manager.repositories.schedule.repository"
_REPOSITORY = "ai.backend.manager.repositories.scheduler.repository"

_ASK = Guard("session listings: ask")


def _lists(sessions_in: Callable[[Any], Iterable[object]]) -> Callable[[Coroutine], Coroutine]:
    """A factory for a function that lists sessions: ``sessions_in`` takes their IDs from what it returns."""

    def wrap(original: Coroutine) -> Coroutine:
        @functools.wraps(original)
        async def listing(*args: Any, **kwargs: Any) -> Any:
            listed = await original(*args, **kwargs)
            if HOP.active:
                with _ASK:
                    for session in map(entity_text, sessions_in(listed)):
                        if session is not None:
                            deferred.sessions.find(session)
            return listed

        return listing

    return wrap


# Three lists: those that run, or are about to; those that wait; those that have waited for too long.
_OF_THREE = _lists(lambda listed: (one.id for several in listed for one in several if is_on_the_way(one.status.name)))
HOP.wraps(_DISPATCHER, "_list_managed_sessions")(_OF_THREE)
HOP.wraps(_SCHEDULES, "ScheduleRepository._list_managed_sessions")(_OF_THREE)
HOP.wraps(_REPOSITORY, "SchedulerRepository.get_scheduling_data")(
    # None when nothing waits; without this list from 26.8 on, where it is not needed.
    _lists(lambda data: (one.id for one in getattr(getattr(data, "pending_sessions", None), "sessions", ())))
)
_OF_A_LIST = _lists(lambda listed: (one.session_id for one in getattr(listed, "sessions", listed)))
HOP.wraps(_REPOSITORY, "SchedulerRepository.get_sessions_for_pull")(_OF_A_LIST)
HOP.wraps(_REPOSITORY, "SchedulerRepository.get_sessions_for_start")(_OF_A_LIST)
HOP.wraps(_REPOSITORY, "SchedulerRepository.get_sessions_for_transition")(_OF_A_LIST)
HOP.wraps(_REPOSITORY, "SchedulerRepository.get_terminating_sessions")(_OF_A_LIST)
