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
from otel_backendai.hops.arrival import has_arrived
from otel_backendai.hops.context_store import LOG_INTERVAL, PAUSE, Connect

_logger = logging.getLogger(__name__)

# Seconds after which a listener that is not wanted any more has seen that.
WAKE = 5.0
# Seconds of silence after which Redis has to show that it is there: a peer that vanished says nothing for ever.
SILENCE = 15.0
# Seconds that whoever asks what has arrived gives the thread to hear it.
CATCH_UP = 0.002
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
        self._connection: Any = None
        self._is_hearing = False
        self._has_heard = threading.Event()
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

    def catch_up(self) -> None:
        """Let the thread hear what has arrived in this process already.

        It cannot while a busy loop holds the interpreter. Nothing waits for what has not arrived, nor longer than two
        milliseconds.
        """
        connection = self._connection
        if connection is None or not self.is_listening:
            return
        with suppress(Exception):  # the thread may be losing the connection just now
            self._has_heard.clear()
            if self._is_hearing or has_arrived(connection, 0):
                self._has_heard.wait(CATCH_UP)

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
        with client.pubsub() as subscription:
            subscription.subscribe(self._channel)
            self._connection = subscription.connection
            try:
                heard_at, is_asked = time.monotonic(), False
                while self._is_wanted():
                    if has_arrived(self._connection, WAKE):
                        heard_at, is_asked = time.monotonic(), False
                    elif time.monotonic() - heard_at > SILENCE:
                        if is_asked:
                            raise TimeoutError
                        subscription.ping()
                        heard_at, is_asked = time.monotonic(), True
                    self._is_hearing = True
                    if self._hear(subscription):
                        # Maybe the answer to what was asked just now.
                        heard_at, is_asked = time.monotonic(), False
                    self._is_hearing = False
                    self._has_heard.set()
            finally:
                self._connection, self._is_hearing = None, False

    def _hear(self, subscription: Any) -> bool:
        """Hand on what has arrived; whether something had."""
        has_heard = False
        while (message := subscription.get_message(timeout=0)) is not None:
            has_heard = True
            if message["type"] == "message":
                with _HEARD:
                    self._heard(message["data"])
        return has_heard

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
