# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A bounded queue with one exporting thread per process, which survives forks and ends within a budget.

Why not the SDK's batch processors: at a fork they restart the *parent's* pipeline in every worker (shared keep-alive
sockets, held locks), an exit without ``atexit`` loses what they hold, and their shutdown takes up to 30 s per signal
(docs/architecture.md, section 5). Here nothing of ours exists in a parent at the fork once it is suspended, and each
process builds its own exporter in its own thread when it has something to send.
"""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_backendai.guard import Guard
from otel_backendai.otlp.reporting import FailureLog
from otel_backendai.sdk.process_exporter import Exporter, ProcessExporter

_EXPORT = Guard("export queue: export")

T = TypeVar("T")

# Of this process, to be made new in a fork of it.
_all_queues: "WeakSet[ExportQueue[Any]]" = WeakSet()


def _leave_to_parent() -> None:
    for queue in _all_queues:
        queue.leave_to_parent()


# Before any thread of the child runs: several of them may have something to queue at once.
os.register_at_fork(after_in_child=_leave_to_parent)


class ExportQueue(Generic[T]):
    """Collects items and exports them in batches.

    Args:
        name: The thread's name; what is collected comes after its last dash.
        make_exporter: Builds the exporter; called in the exporting thread of each process.
        max_size: Items kept; the oldest are dropped beyond that.
        max_batch: Items per export.
        delay: Seconds after which a batch is sent that is not full.
    """

    def __init__(
        self, name: str, make_exporter: Callable[[], Exporter], max_size: int, max_batch: int, delay: float
    ) -> None:
        self._name = name
        self._exporter = ProcessExporter(make_exporter)
        self._max_size = max(1, max_size)
        self._max_batch = max(1, min(max_batch, max_size))
        self._delay = delay
        self._held_until = 0.0
        self._suspended = False
        self._reset()
        _all_queues.add(self)

    def _reset(self) -> None:
        # Of this queue alone: what an exporter loses, it reports itself.
        self._failures = FailureLog(self._name.rpartition("-")[2], "the receiver")
        self._dropped = 0
        self._items: deque[T] = deque(maxlen=self._max_size)
        self._wake = threading.Event()
        self._idle = threading.Condition(threading.Lock())
        self._busy = 0
        self._thread: threading.Thread | None = None

    def leave_to_parent(self) -> None:
        """Start anew in a fork: what was queued is the parent's, and so are the sockets of its exporter."""
        self._exporter.leave_to_parent()
        self._suspended = False
        self._reset()

    def put(self, item: T) -> None:
        """Queue ``item``; never blocks. The first item of a process starts its thread unless the queue is suspended."""
        if len(self._items) >= self._max_size:
            self._dropped += 1
        self._items.append(item)
        if self._suspended:
            return
        if self._thread is None:
            self._start()
        if len(self._items) >= self._max_batch:
            self._wake.set()

    def hold(self, seconds: float) -> None:
        """Only collect for that long, at the start of a process that may yet learn where to send: :meth:`use`, a flush
        or the end of the time ends it.
        """
        self._held_until = time.monotonic() + seconds

    def use(self, make_exporter: Callable[[], Exporter]) -> None:
        """Export by what ``make_exporter`` builds from now on, also what is queued already."""
        self._exporter.use(make_exporter)
        self._held_until = 0.0

    def suspend(self, timeout: float) -> None:
        """Send what is queued, end the thread, close the exporter and only collect from now on: before a fork.

        Args:
            timeout: Seconds to wait at the most.
        """
        deadline = time.monotonic() + timeout
        self.flush(timeout)
        self._suspended = True
        thread, self._thread = self._thread, None
        self._wake.set()
        if thread is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
            if not thread.is_alive():
                self._exporter.close()

    def flush(self, timeout: float) -> bool:
        """Send what is queued and return whether all of it went out within ``timeout`` seconds.

        With 0 it is only said that it shall be sent now.
        """
        self._held_until = 0.0
        self._suspended = False
        if self._thread is None:
            if not self._items:
                return True
            self._start()
        if self._thread is None:
            return False
        deadline = time.monotonic() + timeout
        self._wake.set()
        with self._idle:
            while self._items or self._busy:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return False
                self._wake.set()
                self._idle.wait(min(remaining, 0.1))
        return True

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is shutting down: no more threads. What is queued now was made after the exit flush.
            self._thread = None

    def _run(self) -> None:
        # Signals are the main thread's: a stop signal that it has blocked must not end the process through this one.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        with suppress_instrumentation():
            while threading.current_thread() is self._thread:
                self._wake.wait(self._delay)
                self._wake.clear()
                if time.monotonic() >= self._held_until:
                    self._export_all()

    def _export_all(self) -> None:
        # Counted: behind a thread that hung there are two for a moment.
        with self._idle:
            self._busy += 1
        try:
            while self._items:
                with _EXPORT:
                    self._export_batch()
                # Here: while more arrives than is sent, this loop does not end.
                self._report_dropped()
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def _report_dropped(self) -> None:
        dropped, self._dropped = self._dropped, 0
        if dropped:
            self._failures.failed(dropped, f"more than the queue of {self._max_size} can take")

    def _export_batch(self) -> None:
        batch: list[T] = []
        # Resumed behind a thread that hung, there are two consumers for a moment: the deque decides, not its length.
        with suppress(IndexError):
            while len(batch) < self._max_batch:
                batch.append(self._items.popleft())
        if batch:
            exporter = self._exporter.built()
            try:
                exporter.export(batch)
            except Exception as error:
                self._failures.failed(len(batch), type(error).__qualname__)
                raise
