# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""One batch to a receiver: as many attempts as the protocol allows, within the time-out."""

import gzip
import http.client
import os
import random
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_backendai import __version__
from otel_backendai.otlp import answers
from otel_backendai.otlp.connection import Answer, Connection, TunnelError
from otel_backendai.otlp.endpoint import read_endpoint, tls_context
from otel_backendai.otlp.settings import Settings

_FIRST_WAIT = 1.0
# A receiver that says `Retry-After: 0` for ever must not be asked without a pause.
_SHORTEST_WAIT = 0.1
_JITTER = 0.2
# How long a receiver is left alone at the most, whatever it says.
_LONGEST_WAIT = 300.0
# The application may have seeded the shared generator and count on its numbers.
_RANDOM = random.SystemRandom()

_USER_AGENT = f"otel-backendai/{__version__}"

_GRPC_HINT = "; a gRPC receiver? Take its HTTP port (4318), or set OTEL_EXPORTER_OTLP_PROTOCOL=grpc"

# Level 9, the default of gzip, takes twice the time for a percent of the size.
_LEVEL = 6
_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda body: body,
    "gzip": lambda body: gzip.compress(body, _LEVEL, mtime=0),
    "deflate": lambda body: zlib.compress(body, _LEVEL),
}


@dataclass(frozen=True)
class Outcome:
    """What became of a batch.

    Attributes:
        delivered: Whether the receiver has it.
        rejected: How many items of a delivered batch it did not take.
        reason: For people, without credentials; empty when everything is well.
    """

    delivered: bool
    rejected: int = 0
    reason: str = ""


@dataclass(frozen=True)
class _Attempt:
    """One request: how it ended, and after how many seconds another one may be made (``None``: when we like)."""

    outcome: Outcome
    retryable: bool = False
    wait: float | None = None


class Delivery:
    """Sends encoded batches to one receiver, one at a time.

    Args:
        settings: Where to and how.

    Raises:
        ValueError: The endpoint, or the proxy on the way to it, is no URL of HTTP.
        OSError: A certificate or key cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.endpoint = read_endpoint(settings.endpoint)
        tls = tls_context(settings) if self.endpoint.address.secure else None
        self._connection = Connection(self.endpoint, tls)
        self._speaks_http = False
        self._not_before = 0.0
        self._compress = _COMPRESS[settings.compression]
        self._headers = {"user-agent": _USER_AGENT, **settings.headers, "content-type": "application/x-protobuf"}
        if settings.compression != "none":
            self._headers["content-encoding"] = settings.compression
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def send(self, body: bytes) -> Outcome:
        """Send one batch; raises nothing that a receiver or the network can cause."""
        self._notice_fork()
        with self._lock, suppress_instrumentation():
            outcome = self._send(self._compress(body))
        if self._closed.is_set():
            self._disconnect()
        return outcome

    def close(self) -> None:
        """Make no further attempt; one that waits for its time ends at once."""
        self._notice_fork()
        self._closed.set()
        self._disconnect()

    def _notice_fork(self) -> None:
        if self._pid != os.getpid():
            self._connection.abandon()
            # A thread of the parent may have held both locks at the fork.
            closed, self._closed, self._lock = self._closed, threading.Event(), threading.Lock()
            if closed.is_set():
                self._closed.set()
            self._pid = os.getpid()

    def _disconnect(self) -> None:
        # Whoever sends at this moment disconnects when it is done.
        if self._lock.acquire(blocking=False):
            self._connection.close()
            self._lock.release()

    def _send(self, body: bytes) -> Outcome:
        deadline = time.monotonic() + self._settings.timeout
        if time.monotonic() < self._not_before:
            return Outcome(False, reason="the receiver has asked to be left alone for a while")
        backoff = _FIRST_WAIT
        while True:
            if self._closed.is_set():
                return Outcome(False, reason="the exporter was shut down")
            attempt = self._attempt(body, deadline - time.monotonic())
            jitter = _RANDOM.uniform(1 - _JITTER, 1 + _JITTER)
            wait = max(_SHORTEST_WAIT, backoff * jitter if attempt.wait is None else attempt.wait)
            if not attempt.retryable or wait >= deadline - time.monotonic():
                if attempt.retryable and attempt.wait is not None:
                    # For the batches after this one, which one that is refused for good says nothing about.
                    self._not_before = time.monotonic() + min(attempt.wait, _LONGEST_WAIT)
                return attempt.outcome
            self._closed.wait(wait)
            backoff *= 2

    def _attempt(self, body: bytes, timeout: float) -> _Attempt:
        try:
            answer = self._connection.post(body, self._headers, timeout)
        except (OSError, http.client.HTTPException) as error:
            return _Attempt(Outcome(False, reason=self._explain(error)), _is_transient(error))
        self._speaks_http = True
        if answers.is_success(answer):
            return _Attempt(_accepted(answer))
        return _Attempt(
            Outcome(False, reason=answers.reason(answer)), answers.is_retryable(answer), answers.retry_after(answer)
        )

    def _explain(self, error: Exception) -> str:
        # The text of an HTTPException is what the server sent.
        name = type(error).__qualname__
        text = (
            answers.one_line(str(error)) or name if isinstance(error, OSError) else f"the answer is not HTTP ({name})"
        )
        # Receivers of gRPC answer HTTP/1.1 with frames of HTTP/2, or cut the connection.
        suspicious = isinstance(error, (http.client.HTTPException, ConnectionResetError))
        return text + (_GRPC_HINT if suspicious and not self._speaks_http else "")


def _accepted(answer: Answer) -> Outcome:
    rejection = answers.rejection(answer)
    if rejection is None:
        return Outcome(True)
    return Outcome(True, rejection.count, f"rejected by the receiver: {rejection.reason or 'no reason given'}")


def _is_transient(error: Exception) -> bool:
    if isinstance(error, ssl.SSLError):
        # A connection that was cut; all else is about certificates, or no TLS.
        return isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
    return isinstance(error, OSError) and not isinstance(error, TunnelError)
