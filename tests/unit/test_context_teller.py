# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What is told to other processes is sent before the application answers whoever will visit them."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from otel_backendai.hops.context_store import ContextStore
from otel_backendai.hops.context_teller import ContextTeller


class Listener:
    """A server with the handshake of a Redis, until the connection is told to be silent; then nobody reads it."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(10)
        self.connection: socket.socket | None = None
        self.is_silent = threading.Event()
        self._thread = threading.Thread(target=self._greet, daemon=True)
        self._thread.start()

    def connect(self) -> redis.Redis:
        host, port = self.server.getsockname()
        return redis.Redis(host, port, protocol=2, socket_timeout=10)

    def received(self) -> bytes:
        """What is there already; nothing waits."""
        assert self.connection is not None
        try:
            return self.connection.recv(65_536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self._thread.join(10)
        if self.connection is not None:
            self.connection.close()
        self.server.close()

    def _greet(self) -> None:
        connection, _ = self.server.accept()
        text = b"the first"
        while text and b"REPLY" not in text:
            text = connection.recv(65_536)
            answers = text.count(b"*") - (b"REPLY" in text)
            connection.sendall(b"+OK\r\n" * answers)
        self.connection = connection
        self.is_silent.set()


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Closed in the end."""
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def teller(listener: Listener) -> Iterator[ContextTeller]:
    """One that is connected."""
    teller = ContextTeller()
    teller.open(listener.connect)
    assert listener.is_silent.wait(10)
    yield teller
    teller.close()


def test_it_is_sent_when_the_call_returns(listener: Listener, teller: ContextTeller) -> None:
    """By the calling thread itself: another one would begin when the application's loop next waits."""
    assert teller.send("channel", "digest value")
    assert listener.received().endswith(b"PUBLISH\r\n$7\r\nchannel\r\n$12\r\ndigest value\r\n")


def test_a_store_that_was_woken_tells_at_once(listener: Listener) -> None:
    """Waking connects in the store's thread, once; what is told then is not queued."""
    store = ContextStore(listener.connect)
    store.wake()
    assert listener.is_silent.wait(10)
    deadline = time.monotonic() + 10
    while not store._teller.is_open:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    store.wake()
    store.tell("channel", "digest value")
    assert b"digest value" in listener.received()
    assert store.waiting == 0


def test_nothing_waits_for_a_full_connection(listener: Listener, teller: ContextTeller) -> None:
    """A Redis that takes nothing any more costs the caller no time: it is told that it needs another way."""
    began = time.monotonic()
    for _ in range(10_000):
        if not teller.send("channel", "x" * 10_000):
            break
    else:
        pytest.fail("the other side reads nothing, and still 100 MB were taken")
    assert time.monotonic() - began < 5
    assert not teller.is_open
    assert not teller.send("channel", "more")


def test_a_connection_that_was_hung_up_is_not_used(listener: Listener, teller: ContextTeller) -> None:
    """What is sent there would be lost without a word."""
    assert listener.connection is not None
    listener.connection.close()
    assert not teller.send("channel", "digest value")
    assert not teller.is_open


def test_a_connection_that_answers_is_not_used(listener: Listener, teller: ContextTeller) -> None:
    """Answers that nobody reads would fill Redis' buffers; one that may not be silenced answers."""
    assert listener.connection is not None
    listener.connection.sendall(b"-NOPERM\r\n")
    assert not teller.send("channel", "digest value")
    assert not teller.is_open


def test_a_worker_does_not_use_its_parents_connection(listener: Listener, teller: ContextTeller) -> None:
    """After a fork there is none, and closing it there leaves the parent's alone."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            sent: Any = teller.send("channel", "of the child")
            teller.close()
            os.write(writer, b"1" if sent else b"0")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"0"
    os.close(reader)
    os.close(writer)
    assert teller.send("channel", "of the parent")
    assert b"of the parent" in listener.received()
