# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Tells other processes at once, by one ``send`` in the thread that has something to tell.

A thread that sends for others has to get the interpreter first, and gets it when the loop of the application next
waits, which is after it has written its response: then whoever was answered can be faster than what is told about it.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from otel_backendai.hops.arrival import has_arrived


@dataclass(frozen=True, slots=True)
class _Opened:
    """A connection of redis-py, and the process that opened it.

    Attributes:
        clients: To be kept: a client that nobody holds any more closes its connections.
    """

    connection: Any
    clients: tuple[Any, ...]
    process: int


class ContextTeller:
    """A connection to a Redis that was told to answer nothing (``CLIENT REPLY OFF``): there is nothing to wait for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: _Opened | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection of this process."""
        opened = self._opened
        return opened is not None and opened.process == os.getpid()

    def open(self, connect: Callable[[], Any]) -> None:
        """Connect, if that is not done; this may take as long as Redis takes.

        Args:
            connect: Makes a redis-py client.

        Raises:
            Exception: Redis cannot be reached.
        """
        if self.is_open:
            return
        client = connect()
        single = client.client()
        connection = single.connection
        connection.send_command("CLIENT", "REPLY", "OFF")
        # From now on a full buffer is an error, and nothing waits until there is room.
        connection._sock.settimeout(0)
        # A new lock: another thread may have held the old one when this process was forked.
        self._lock = threading.Lock()
        self._opened = _Opened(connection, (client, single), os.getpid())

    def send(self, channel: str, text: str) -> bool:
        """Send ``text`` to who listens on ``channel``, without waiting for anything.

        Returns:
            Whether it is on its way; if not, and if there was a connection, that is closed.
        """
        if not self.is_open or not self._lock.acquire(blocking=False):
            return False
        try:
            opened = self._opened
            if opened is None:
                return False
            with suppress(Exception):  # whatever it is, the caller has another way
                # Else Redis has hung up, or it answers all the same, and answers that nobody reads fill its buffers.
                if not has_arrived(opened.connection, 0):
                    opened.connection.send_command("PUBLISH", channel, text, check_health=False)
                    return True
            self._close()
            return False
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the connection of this process, if there is one."""
        if self.is_open:
            with self._lock:
                self._close()

    def _close(self) -> None:
        opened, self._opened = self._opened, None
        with suppress(Exception):  # it may be broken
            if opened is not None:
                opened.connection.disconnect()
