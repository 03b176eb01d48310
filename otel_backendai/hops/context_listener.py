# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Hears over Redis what other processes keep, at once: who needs it may not wait for an answer from there.

A thread for the life of the process, for the reasons of ``context_store``, with one connection that is mostly silent.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from otel_backendai.guard import Guard
from otel_backendai.hops.context_store import LOG_INTERVAL, PAUSE, Connect

_logger = logging.getLogger(__name__)

# Seconds after which a listener that is not wanted any more has seen that.
WAKE = 5.0
THREAD_NAME = "otel-backendai-listener"

_HEARD = Guard("context listener: heard")


class ContextListener:
    """Hands on what is told on a channel; of what goes wrong nobody learns, but for a line of log now and then.

    Args:
        connect: Makes a redis-py client; called in the thread, again after a failure.
        channel: Where to listen.
        heard: Called in the thread with each message (bytes).
        is_wanted: Asked every few seconds; the thread ends when it says no.
    """

    def __init__(
        self, connect: Connect, channel: str, heard: Callable[[object], None], is_wanted: Callable[[], bool]
    ) -> None:
        self._connect = connect
        self._channel = channel
        self._heard = heard
        self._is_wanted = is_wanted
        self._lock = threading.Lock()
        self._process = 0
        self._thread: threading.Thread | None = None
        self._logged_at = -LOG_INTERVAL

    @property
    def is_listening(self) -> bool:
        """Whether the thread is there, in this process."""
        return self._process == os.getpid() and self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Listen from now on, if this process does not yet; after a fork, again."""
        with self._lock:
            if self.is_listening:
                return
            self._process = os.getpid()
            self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while self._is_wanted():
            client: Any = None
            try:
                client = self._connect()
                self._listen(client)
            except Exception as error:
                self._report(type(error).__qualname__)
                self._pause()
            finally:
                with suppress(Exception):  # it may be broken
                    if client is not None:
                        client.close()

    def _listen(self, client: Any) -> None:
        with client.pubsub(ignore_subscribe_messages=True) as subscription:
            subscription.subscribe(self._channel)
            while self._is_wanted():
                message = subscription.get_message(timeout=WAKE)
                if message is not None:
                    with _HEARD:
                        self._heard(message["data"])

    def _pause(self) -> None:
        until = time.monotonic() + PAUSE
        while self._is_wanted() and time.monotonic() < until:
            time.sleep(min(WAKE, PAUSE))

    def _report(self, what: str) -> None:
        now = time.monotonic()
        if now - self._logged_at >= LOG_INTERVAL:
            self._logged_at = now
            with suppress(Exception):  # the application's logging may raise
                _logger.warning("Redis does not tell the traces of tokens that other processes make: %s", what)
