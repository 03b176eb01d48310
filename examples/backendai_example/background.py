# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The manager's background work: timers that run in one of its workers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiotools

from otel_backendai.api import ensure_request_id

from .manager_context import ManagerContext

log = logging.getLogger(__name__)

STALE_AFTER = 600.0
MAX_CLEANED_UP = 1_000
# How many times rarer the cleanup is than the processing of pending operations.
CLEANUP_FACTOR = 6


class BackgroundWork:
    """What the manager does without being asked. Failures are logged; the next run tries again."""

    def __init__(self, manager: ManagerContext) -> None:
        self._manager = manager

    @ensure_request_id
    async def process_pending_operations(self, interval: float) -> None:
        """Bring the manager's knowledge of the agent's kernels up to date."""
        with _logged_errors():
            log.info("processing pending operations")
            kernel_count = await self._manager.agent.call.sync_kernel_registry()
            await self._manager.events.produce("kernel_registry_synced", (str(kernel_count),))

    @ensure_request_id
    async def cleanup_stale_sessions(self, interval: float) -> None:
        """End the sessions that are older than ten minutes."""
        with _logged_errors():
            stale = await self._manager.sessions.older_than(STALE_AFTER, limit=MAX_CLEANED_UP)
            log.info("cleaning up %d stale sessions", len(stale))
            for session_id in stale:
                session = await self._manager.sessions.get(session_id)
                if session is not None:
                    await self._manager.agent.call.destroy_kernel(session.kernel_id)
                await self._manager.sessions.remove(session_id)


@asynccontextmanager
async def background_timers(manager: ManagerContext) -> AsyncIterator[None]:
    """Run the background work at its intervals while the context is open; the first time at once."""
    work = BackgroundWork(manager)
    interval = manager.settings.timer_interval
    cancel = aiotools.TimerDelayPolicy.CANCEL
    timers = [
        aiotools.create_timer(work.process_pending_operations, interval, cancel),
        aiotools.create_timer(work.cleanup_stale_sessions, interval * CLEANUP_FACTOR, cancel),
    ]
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        await asyncio.gather(*timers, return_exceptions=True)


@contextmanager
def _logged_errors() -> Iterator[None]:
    # An exception that gets out of a tick ends the timer in aiotools before 2.0.
    try:
        yield
    except Exception as error:
        log.warning("background work failed: %r", error)
