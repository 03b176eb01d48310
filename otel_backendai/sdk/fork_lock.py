# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A lock around what must not be half done when the process forks: a child has no thread that would finish it."""

import os
import threading
import weakref
from types import TracebackType
from typing import Final

# Seconds that a fork waits. Whoever holds the lock may be waiting for one that the forking thread has, such as that of
# `logging`; then the fork goes on, as it would without us.
_PATIENCE: Final = 1.0


class ForkLock:
    """A context manager; no fork of this process begins while another thread is in it.

    The same thread may enter it twice, and a child can enter it, whatever threads its parent had.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # Threads that hold it while they fork; a second one that forks meanwhile must not release it.
        self._forking: set[int] = set()
        known = weakref.ref(self)

        def before() -> None:
            if (lock := known()) is not None and lock._lock.acquire(timeout=_PATIENCE):
                lock._forking.add(threading.get_ident())

        def in_parent() -> None:
            if (lock := known()) is not None and threading.get_ident() in lock._forking:
                lock._forking.discard(threading.get_ident())
                lock._lock.release()

        def in_child() -> None:
            if (lock := known()) is None:
                return
            if threading.get_ident() in lock._forking:
                lock._lock.release()
            else:
                lock._lock = threading.RLock()
            lock._forking.clear()

        os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()
