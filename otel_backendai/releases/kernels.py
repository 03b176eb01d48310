# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Which session a kernel belongs to: learnt where both are named, for what names the kernel only.

A session's kernels are made by a call that names both (`create_kernels`), and their events do, too; many later calls
(`check_running`, `get_logs`, `start_service`) name nothing but a kernel. Bounded, and of this process alone.
"""

import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from otel_backendai.guard import Guard
from otel_backendai.hops.deferred import HOP
from otel_backendai.hops.kept_settings import DEFAULT_LIMIT
from otel_backendai.hops.recent import Recent
from otel_backendai.names import ATTRIBUTE_KERNEL_ID, ATTRIBUTE_SESSION_ID
from otel_backendai.releases.arguments import Argument
from otel_backendai.releases.entities import entity_text

Coroutine = Callable[..., Awaitable[Any]]

_LEARN = Guard("kernels: learn")

_sessions: Recent[str, str] = Recent(DEFAULT_LIMIT)


def learn(kernel: object, session: object) -> None:
    """Keep in mind that ``kernel`` belongs to ``session``; IDs as texts or UUIDs, anything else is left."""
    kernel, session = entity_text(kernel), entity_text(session)
    if kernel is not None and session is not None:
        _sessions.put(kernel, session)


def with_session(entities: dict[str, str]) -> dict[str, str]:
    """Return ``entities`` (span attributes) with the session of the kernel that they name, if it is known.

    Entities that name both are learnt from.
    """
    kernel = entities.get(ATTRIBUTE_KERNEL_ID)
    if kernel is None:
        return entities
    session = entities.get(ATTRIBUTE_SESSION_ID)
    if session is not None:
        _sessions.put(kernel, session)
        return entities
    session = _sessions.get(kernel)
    return entities if session is None else {**entities, ATTRIBUTE_SESSION_ID: session}


def forget() -> None:
    """Know of no kernel."""
    _sessions.clear()


def _learns(pairs_of: Callable[[Any], Iterable[tuple[object, object]]]) -> Callable[[Coroutine], Coroutine]:
    """A factory for a method whose first argument names kernels and their sessions: ``pairs_of`` tells them."""

    def wrap(original: Coroutine) -> Coroutine:
        checked = Argument(original, 1)

        @functools.wraps(original)
        async def check(*args: Any, **kwargs: Any) -> Any:
            if HOP.active:
                with _LEARN:
                    for kernel, session in pairs_of(checked.of(args, kwargs)):
                        learn(kernel, session)
            return await original(*args, **kwargs)

        return check

    return wrap


# A manager that was restarted has not seen how the kernels were made which it asks an agent about.
HOP.wraps("ai.backend.manager.sokovan.scheduler.terminator.terminator", "SessionTerminator.check_stale_kernels")(
    _learns(lambda kernels: ((kernel.id, kernel.session.session_id) for kernel in kernels))
)
HOP.wraps("ai.backend.manager.sokovan.scheduler.scheduler", "Scheduler._check_truly_stuck_creating_sessions")(
    _learns(lambda sessions: ((kernel.kernel_id, one.session_id) for one in sessions for kernel in one.kernels))
)
