# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What Ctrl-C and its relatives do to a command that has something to clean up."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """The first signal cancels the task, as long as it may be cancelled; each further one calls ``hurry``.

    Args:
        hurry: Makes a clean-up that is under way faster. It is never cancelled.
    """

    def __init__(self, hurry: Callable[[], None]) -> None:
        self.number: int | None = None
        self._hurry = hurry
        self._task: asyncio.Task[object] | None = None

    @contextlib.contextmanager
    def cancels(self) -> Iterator[None]:
        """Let a signal cancel the current task inside this block, and end the block quietly then.

        Handlers stay installed after it, until the event loop closes.
        """
        loop = asyncio.get_running_loop()
        self._task = task = asyncio.current_task()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._handle, number)
        try:
            yield
        except asyncio.CancelledError:
            if self.number is None or task is None:
                raise
            task.uncancel()
        finally:
            self._task = None

    def end(self) -> None:
        """Nothing is left to clean up: a signal from now on must not change how this process ends."""
        # Blocked, not ignored: at its close the event loop sets the handlers back to the defaults.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def _handle(self, number: int) -> None:
        task, self._task = self._task, None
        if task is None:
            self._hurry()
            return
        self.number = number
        task.cancel()
