# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""One keep-alive connection to a receiver, on ``http.client``: no release of Backend.AI lacks it."""

import encodings.idna  # noqa: F401  # else the first connection imports it, in a thread, with a fork perhaps under way
import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from otel_backendai.otlp.endpoint import Endpoint

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# What an answer says fits into far less. The protocol allows to stop at 4 MiB.
_MAX_BODY = 64 * 1024

# That a receiver has closed an idle connection may only show when the next request is under way.
_STALE = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)

# Seconds after which an idle connection is not trusted any more: a firewall that has forgotten it swallows the request,
# which costs the whole time-out. Load balancers forget after a minute and more.
_MAX_IDLE = 30.0

# Connections of a parent process: kept, because closing a reader waits for whoever read from it at the fork.
_inherited: list[http.client.HTTPConnection] = []


@dataclass(frozen=True)
class Answer:
    """What a receiver said: status, headers (by lower-case name) and body, the latter cut at 64 KiB."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TunnelError(OSError):
    """A proxy that does not let us through to a receiver behind TLS; its text is the proxy's."""


class Connection:
    """Posts to ``endpoint``; for one thread at a time and one process.

    Args:
        endpoint: The receiver.
        tls: For a receiver behind TLS.
    """

    def __init__(self, endpoint: Endpoint, tls: ssl.SSLContext | None) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._open: http.client.HTTPConnection | None = None
        self._last_answer = 0.0

    def post(self, body: bytes, headers: Mapping[str, str], timeout: float) -> Answer:
        """Send ``body`` and return the answer; redirects are answers like any other.

        A connection that is idle for long, or that the receiver has closed since the last answer, is replaced. All of
        it ends within ``timeout`` seconds, but for the name service and for a host with several addresses that all
        swallow packets.

        Raises:
            OSError, http.client.HTTPException: There is no answer. The connection is closed.
        """
        now = time.monotonic()
        deadline = now + timeout
        if now - self._last_answer > _MAX_IDLE:
            self.close()
        if self._open is not None:
            try:
                return self._exchange(self._open, body, headers, deadline)
            except _STALE:
                self.close()
        self._open = self._new(_remaining(deadline))
        return self._exchange(self._open, body, headers, deadline)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def abandon(self) -> None:
        """Leave the connection alone: behind a fork it is the parent's, and nothing may be said over it."""
        if self._open is not None:
            _inherited.append(self._open)
            self._open = None

    def _new(self, timeout: float) -> http.client.HTTPConnection:
        receiver, proxy = self._endpoint.address, self._endpoint.proxy
        first = proxy or receiver
        if self._tls is None:
            return http.client.HTTPConnection(first.host, first.port, timeout=timeout)
        connection = http.client.HTTPSConnection(first.host, first.port, timeout=timeout, context=self._tls)
        if proxy is not None:
            authorization = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
            connection.set_tunnel(receiver.host, receiver.port, authorization)
        return connection

    def _exchange(
        self, connection: http.client.HTTPConnection, body: bytes, headers: Mapping[str, str], deadline: float
    ) -> Answer:
        kept = False
        try:
            connection.response_class = partial(_Response, deadline)  # type: ignore[assignment]  # any callable will do
            if connection.sock is None:
                _connect(connection)
            connection.sock.settimeout(_remaining(deadline))
            # A receiver may answer and close before it has read everything: a body that is too large for it, say.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request("POST", self._target(), body, {**self._credentials(), **headers})
            response = connection.getresponse()
            content = response.read(_MAX_BODY)
            self._last_answer = time.monotonic()
            # What is left of a body would be taken for the next answer.
            kept = response.isclosed() and not response.will_close
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)
        finally:
            if not kept:
                self.close()

    def _target(self) -> str:
        endpoint = self._endpoint
        # To a proxy without a tunnel the request line names the receiver.
        through_proxy = endpoint.proxy is not None and self._tls is None
        return endpoint.base + endpoint.target if through_proxy else endpoint.target

    def _credentials(self) -> dict[str, str]:
        endpoint = self._endpoint
        credentials = {"authorization": endpoint.address.authorization}
        if endpoint.proxy is not None and self._tls is None:
            credentials["proxy-authorization"] = endpoint.proxy.authorization
        return {name: value for name, value in credentials.items() if value}


def _connect(connection: http.client.HTTPConnection) -> None:
    try:
        connection.connect()
    except OSError as error:
        # http.client has no class of its own for it.
        if type(error) is OSError and str(error).startswith("Tunnel connection failed"):
            raise TunnelError(str(error)) from None
        raise


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("timed out")
    return remaining


class _Response(http.client.HTTPResponse):
    """A response that has to be complete at ``deadline``, however slowly its bytes drip."""

    def __init__(self, deadline: float, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Reader(sock, self.fp.detach(), deadline))


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, source: io.RawIOBase, deadline: float) -> None:
        self._sock = sock
        self._source = source
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        self._sock.settimeout(_remaining(self._deadline))
        return self._source.readinto(buffer)

    def close(self) -> None:
        self._source.close()
        super().close()
