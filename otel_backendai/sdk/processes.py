# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The life of a component's processes: nothing of ours at the fork, a last flush in each worker, all of it bounded.

Workers of aiotools end in ``os._exit``, where ``atexit`` never runs, and are killed when they take longer than the
application's ``wait_timeout`` (5 s in most components): the flush has a budget of 2.5 s, all signals together.
"""

import atexit
import functools
import logging
import multiprocessing
import multiprocessing.util
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from otel_backendai.guard import Guard
from otel_backendai.names import SETTING_FLUSH_TIMEOUT
from otel_backendai.patching import Hop
from otel_backendai.sdk import spawned
from otel_backendai.sdk.export_queue import ExportQueue
from otel_backendai.sdk.resource import ProcessResource

HOP = Hop("processes")

_logger = logging.getLogger(__name__)

DEFAULT_FLUSH_TIMEOUT = 2.5
_LONGEST_FLUSH = 3_600.0
_SUSPEND_TIMEOUT = 1.0

_FLUSH = Guard("processes: flush")
_SUSPEND = Guard("processes: suspend")

# Called once, before the parent of a component starts its workers; and in each worker, before its loop exists.
before_workers: list[Callable[[], None]] = []
in_worker: list[Callable[[], None]] = []

_queues: list[ExportQueue[Any]] = []
_resources: list[ProcessResource] = []


def watch(resource: ProcessResource, queues: list[ExportQueue[Any]]) -> None:
    """Look after ``queues`` in this process and its forks, and name workers in ``resource``."""
    if not _queues:
        if os.environ.get(SETTING_FLUSH_TIMEOUT, "").strip() and _given_flush_timeout() is None:
            _logger.warning(
                "%s is no number from 0 to %d, %g is used", SETTING_FLUSH_TIMEOUT, _LONGEST_FLUSH, DEFAULT_FLUSH_TIMEOUT
            )
        atexit.register(flush_all)
        # A child of multiprocessing runs its own list instead of `atexit`, and a forked one starts with an empty one.
        multiprocessing.util.register_after_fork(HOP, _flush_at_exit_of_child)
        if multiprocessing.parent_process() is not None:
            _flush_at_exit_of_child(HOP)
    _queues.extend(queues)
    _resources.append(resource)
    HOP.install()


def flush_timeout() -> float:
    """Return the budget of an exit flush in seconds (``OTEL_BACKENDAI_FLUSH_TIMEOUT``)."""
    given = _given_flush_timeout()
    return DEFAULT_FLUSH_TIMEOUT if given is None else given


def _given_flush_timeout() -> float | None:
    with suppress(ValueError):
        seconds = float(os.environ.get(SETTING_FLUSH_TIMEOUT, ""))
        # "nan" is neither, and whoever writes "inf" does not want a process that never ends.
        if 0 <= seconds <= _LONGEST_FLUSH:
            return seconds
    return None


def flush_all() -> None:
    """Send what all queues hold, within one budget; stop signals do not cut it short."""
    deadline = time.monotonic() + flush_timeout()
    with _stop_signals_ignored():
        # All at once: a receiver of one signal that hangs must not take the time of the others.
        for queue in _queues:
            with _FLUSH:
                queue.flush(0)
        for queue in _queues:
            with _FLUSH:
                queue.flush(max(0.0, deadline - time.monotonic()))


def _flush_at_exit_of_child(_: Hop) -> None:
    multiprocessing.util.Finalize(None, flush_all, exitpriority=0)


@contextmanager
def _stop_signals_ignored() -> Iterator[None]:
    previous: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        previous = {stop: signal.signal(stop, signal.SIG_IGN) for stop in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for stop, handler in previous.items():
            # None: a handler that was not installed from Python cannot be put back from Python.
            if handler is not None:
                signal.signal(stop, handler)


@HOP.wraps("aiotools", "start_server")
@HOP.wraps("aiotools.server", "start_server")
def _wrap_start_server(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def start_server(*args: Any, **kwargs: Any) -> Any:
        if not HOP.active:
            return original(*args, **kwargs)
        for call in before_workers:
            with _SUSPEND:
                call()
        for queue in _queues:
            with _SUSPEND:
                queue.suspend(_SUSPEND_TIMEOUT)
        try:
            with spawned.handing_down():
                return original(*args, **kwargs)
        finally:
            # What the parent made meanwhile. Here, because at `atexit` no thread can be started any more (3.12).
            flush_all()

    return start_server


@HOP.wraps("aiotools.server", "_worker_main")
def _wrap_worker_main(original: Callable[..., int]) -> Callable[..., int]:
    # `wraps` keeps the name by which a spawned worker finds it again.
    @functools.wraps(original)
    def _worker_main(*args: Any, **kwargs: Any) -> int:
        with _FLUSH:
            _enter_worker(args[3] if len(args) > 3 else kwargs.get("proc_idx"))
            if args:
                args = (_shielded(args[0]), *args[1:])
        return _run_and_flush(original, args, kwargs)

    return _worker_main


@HOP.wraps("aiotools.server", "_extra_main")
def _wrap_extra_main(original: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(original)
    def _extra_main(*args: Any, **kwargs: Any) -> int:
        with _FLUSH:
            _enter_worker(args[2] if len(args) > 2 else kwargs.get("proc_idx"))
        return _run_and_flush(original, args, kwargs)

    return _extra_main


class _ShieldedContext:
    """The worker's own context manager; once it is left, further stop signals wait until the process has ended.

    A service manager signals the whole group, aiotools its workers, an impatient operator once more. The loop ignores
    repeated signals while it runs, but closing it puts the default action back, which would end the process between
    the application's last line and our flush.
    """

    def __init__(self, context: Any) -> None:
        self.__dict__["_context"] = context

    async def __aenter__(self) -> Any:
        return await self._context.__aenter__()

    async def __aexit__(self, *error: Any) -> Any:
        try:
            return await self._context.__aexit__(*error)
        finally:
            with _FLUSH:
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def __setattr__(self, name: str, value: object) -> None:
        # aiotools says by `yield_return` which signal ended the worker.
        setattr(self._context, name, value)


def _shielded(worker: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(worker)
    def make_context(*args: Any, **kwargs: Any) -> _ShieldedContext:
        return _ShieldedContext(worker(*args, **kwargs))

    return make_context


def _enter_worker(index: object) -> None:
    spawned.forget()
    if isinstance(index, int):
        for resource in _resources:
            resource.enter_worker(index)
    for call in in_worker:
        with _FLUSH:
            call()


def _run_and_flush(main: Callable[..., int], args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    try:
        return main(*args, **kwargs)
    finally:
        flush_all()
