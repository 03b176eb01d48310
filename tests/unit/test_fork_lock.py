# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A lock that a fork waits for."""

import os
import signal
import threading
import time

import pytest

from otel_backendai.sdk import fork_lock
from otel_backendai.sdk.fork_lock import ForkLock

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def _forked_child_enters(lock: ForkLock) -> bool:
    """Whether a child comes into the lock and out of it again."""
    child = os.fork()
    if not child:
        signal.alarm(5)
        try:
            with lock:
                pass
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


class _Holder:
    """A thread that is in the lock until it is told to go on."""

    def __init__(self, lock: ForkLock) -> None:
        self._lock, self._entered, self._go_on = lock, threading.Event(), threading.Event()
        self.has_left = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._entered.wait(5)

    def _run(self) -> None:
        with self._lock:
            self._entered.set()
            self._go_on.wait(10)
            self.has_left = True

    def leave(self, seconds: float = 0.0) -> threading.Thread:
        """Let it go on after so many seconds; the thread to wait for."""
        threading.Timer(seconds, self._go_on.set).start()
        return self._thread


def test_a_fork_waits_for_who_is_in_it() -> None:
    """What another thread does in there is whole in the child."""
    lock = ForkLock()
    holder = _Holder(lock)
    thread = holder.leave(0.2)
    child = os.fork()
    if not child:
        os._exit(0 if holder.has_left else 1)
    assert os.waitpid(child, 0)[1] == 0
    thread.join(5)


def test_a_fork_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is in there may wait for what the forking thread has; the child can enter nevertheless, and the parent."""
    monkeypatch.setattr(fork_lock, "_PATIENCE", 0.1)
    lock = ForkLock()
    holder = _Holder(lock)
    began = time.monotonic()
    assert _forked_child_enters(lock)
    assert time.monotonic() - began < 5
    holder.leave().join(5)
    with lock:
        pass


def test_two_threads_that_fork_at_once_leave_it_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that gave up waiting does not take the other's hold for its own, nor leaves it taken."""
    monkeypatch.setattr(fork_lock, "_PATIENCE", 0.001)
    lock = ForkLock()
    entered: list[bool] = []
    forking = [
        threading.Thread(target=lambda: entered.extend(_forked_child_enters(lock) for _ in range(20))) for _ in range(4)
    ]
    for thread in forking:
        thread.start()
    for thread in forking:
        thread.join(30)
    assert entered == [True] * 80
    assert lock._lock.acquire(timeout=5)
    lock._lock.release()


def test_a_thread_that_is_in_it_may_fork() -> None:
    """Neither it nor its child is in the way of itself."""
    lock = ForkLock()
    with lock:
        assert _forked_child_enters(lock)
    assert _forked_child_enters(lock)


def test_a_lock_that_is_gone_is_in_no_forks_way() -> None:
    """Forks after its end are as if it had never been there."""
    lock = ForkLock()
    del lock
    assert _forked_child_enters(ForkLock())
