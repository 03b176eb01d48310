# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Tasks that outlive the handler which starts them."""

import asyncio
import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)

DRAIN_TIMEOUT = 1.0


class BackgroundTasks:
    """Keeps a reference to each task until it is done, and ends the rest when the context closes."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Coroutine[object, object, None]) -> None:
        """Run `coroutine` in the background; its exception is logged."""
        task = asyncio.create_task(self._run(coroutine))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _run(coroutine: Coroutine[object, object, None]) -> None:
        try:
            await coroutine
        except Exception:
            log.exception("a background task failed")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.end()

    async def end(self) -> None:
        """Give the running tasks a second, then cancel what is left."""
        if not self._tasks:
            return
        _, unfinished = await asyncio.wait(self._tasks, timeout=DRAIN_TIMEOUT)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
