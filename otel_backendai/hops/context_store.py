# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What requests leave behind, in the cluster's own Redis: written and read by a thread of our own, never awaited.

A thread, and not a task of the application's loop: a connection that hangs, a loop that closes and a process that
forks cost the application nothing, and the loops of all releases are alike to it. It is started by the first order in
a process (a worker, after its fork) and ends when there has been nothing to do for a while.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from otel_backendai.hops.context_teller import ContextTeller

_logger = logging.getLogger(__name__)

MAX_ORDERS = 1000
# Anybody may ask by a token that nobody made: questions leave room for what is to be kept.
MAX_ORDERS_TO_ASK = MAX_ORDERS // 2
# Seconds: for one answer, and how long nothing is asked after a failure.
TIMEOUT = 2.0
PAUSE = 10.0
# Seconds without an order after which thread and connection go.
IDLE = 30.0
LOG_INTERVAL = 60.0
THREAD_NAME = "otel-backendai-contexts"

# A redis-py client, asked for in the thread.
Connect = Callable[[], Any]
Found = Callable[[object], None]


class ContextStore:
    """Redis as a place to leave small values; whatever goes wrong there, the caller does not learn of it.

    Args:
        connect: Makes a client; called in the thread, again after a failure.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._teller = ContextTeller()
        self._lock = threading.Lock()
        self._orders: SimpleQueue[Callable[[Any], None]] = SimpleQueue()
        self._process = 0
        self._thread: threading.Thread | None = None
        self._paused_until = 0.0
        self._logged_at = -LOG_INTERVAL

    @property
    def waiting(self) -> int:
        """How many orders wait to be done."""
        return self._orders.qsize()

    def write(self, key: str, value: str, seconds: int) -> None:
        """Leave ``value`` under ``key`` for so many seconds, some time soon, if possible."""
        self._order(lambda client: client.set(key, value, ex=seconds))

    def tell(self, channel: str, text: str) -> None:
        """Send ``text`` to who listens on ``channel``: at once after :meth:`wake`, else some time soon, if possible."""
        if not self._teller.send(channel, text):
            self._order(lambda client: client.publish(channel, text))

    def wake(self) -> None:
        """Connect some time soon, unless that is done: something will be told."""
        if not self._teller.is_open:
            self._order(lambda _: self._teller.open(self._connect))

    def read(self, key: str, found: Found) -> bool:
        """Look ``key`` up some time soon and hand the value (bytes, or ``None``) to ``found``, in the thread.

        ``found`` is not called when Redis does not answer.

        Returns:
            Whether Redis will be asked; not so while it is left alone, or when much else waits.
        """
        return self._order(lambda client: found(client.get(key)), MAX_ORDERS_TO_ASK)

    def _order(self, order: Callable[[Any], None], limit: int = MAX_ORDERS) -> bool:
        if time.monotonic() < self._paused_until:
            return False
        with self._lock:
            if self._process != os.getpid():
                # A fork: the thread is not here, and its orders are the parent's.
                self._process, self._thread, self._orders = os.getpid(), None, SimpleQueue()
            if self._orders.qsize() >= limit:
                self._report("more than it can take")
                return False
            self._orders.put(order)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                # It may fail where a process has too many: the next order tries again.
                thread.start()
                self._thread = thread
        return True

    def _run(self) -> None:
        client: Any = None
        while True:
            try:
                order = self._orders.get(timeout=IDLE)
            except Empty:
                with self._lock:
                    if not self._orders.empty():
                        continue
                    self._teller.close()
                    self._thread = None
                    break
            if time.monotonic() < self._paused_until:
                continue
            try:
                client = client or self._connect()
                order(client)
            except Exception as error:
                self._paused_until = time.monotonic() + PAUSE
                self._report(type(error).__qualname__)
                _close(client)
                client = None
        _close(client)

    def _report(self, what: str) -> None:
        now = time.monotonic()
        if now - self._logged_at >= LOG_INTERVAL:
            self._logged_at = now
            with suppress(Exception):  # the application's logging may raise
                _logger.warning("Redis does not keep the traces of sessions and tokens for other processes: %s", what)


def _close(client: Any) -> None:
    with suppress(Exception):  # it may be broken, that is why it is closed
        if client is not None:
            client.close()
