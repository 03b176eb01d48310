# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Redis as the place where sessions' contexts are kept: never waited for, whatever it does."""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from queue import Queue
from typing import Any

import fakeredis
import pytest
import redis

from otel_backendai.hops import context_store
from otel_backendai.hops.context_store import ContextStore

# What ten thousand orders may take before they have waited for Redis: one answer of the slow one takes longer.
_NO_WAIT = 1.0


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def read(store: ContextStore, key: str) -> object:
    """What the store hands out for ``key``."""
    found: Queue[object] = Queue()
    store.read(key, found.put)
    return found.get(timeout=10)


def test_what_is_written_is_read_by_another_process() -> None:
    """Two stores over one Redis; the value goes away by itself."""
    server = fakeredis.FakeServer()
    one, other = (ContextStore(lambda: fakeredis.FakeRedis(server=server)) for _ in range(2))
    one.write("key", "value", 60)
    assert read(one, "key") == b"value"  # the order before is done, too
    assert read(other, "key") == b"value"
    assert read(other, "nothing") is None
    assert 0 < int(fakeredis.FakeRedis(server=server).ttl("key")) <= 60


def test_a_silent_redis_costs_nothing(silent: int, caplog: pytest.LogCaptureFixture) -> None:
    """Ten thousand orders do not wait for a server that never answers, are bounded, and make one line of log."""
    store = ContextStore(lambda: redis.Redis("127.0.0.1", silent, socket_timeout=0.2))
    began = time.monotonic()
    for number in range(10_000):
        store.write(f"key{number}", "value", 60)
    assert time.monotonic() - began < _NO_WAIT
    assert store.waiting <= context_store.MAX_ORDERS
    assert _lines(caplog) == 1


def test_questions_leave_room_for_what_is_to_be_kept(silent: int) -> None:
    """Anybody can ask by a token that nobody made; what is written then still finds a place."""
    store = ContextStore(lambda: redis.Redis("127.0.0.1", silent, socket_timeout=0.5))
    asked = [store.read(f"key{number}", lambda _: None) for number in range(context_store.MAX_ORDERS)]
    assert asked.count(True) in (context_store.MAX_ORDERS_TO_ASK, context_store.MAX_ORDERS_TO_ASK + 1)
    before = store.waiting
    store.write("key", "value", 60)
    assert store.waiting == before + 1


def test_a_refusing_redis_is_left_alone_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """After a failure nothing is asked for a pause, and a second failure is not logged within a minute."""
    attempts: list[int] = []

    class Refusing:
        def set(self, *_: Any, **__: Any) -> None:
            attempts.append(1)
            raise redis.ConnectionError("refused")

        def close(self) -> None:
            pass

    store = ContextStore(Refusing)
    store.write("key", "value", 60)
    _eventually(lambda: bool(attempts) and _lines(caplog) == 1)
    for _ in range(100):
        store.write("key", "value", 60)
    assert store.waiting == 0
    assert len(attempts) == 1


def test_a_fork_starts_anew() -> None:
    """A worker that is forked has its own thread; its parent's is not there, and its parent's orders are not its."""
    store = ContextStore(fakeredis.FakeRedis)
    assert read(store, "key") is None
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writer, b"1" if read(store, "key") is None else b"0")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"1"
    os.close(reader)
    os.close(writer)


def test_the_thread_ends_when_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that makes no sessions keeps neither a thread nor a connection; the next order starts one again."""
    monkeypatch.setattr(context_store, "IDLE", 0.05)
    before = set(threading.enumerate())
    store = ContextStore(fakeredis.FakeRedis)
    assert read(store, "key") is None
    _eventually(lambda: set(threading.enumerate()) <= before)
    assert read(store, "key") is None


def _lines(caplog: pytest.LogCaptureFixture) -> int:
    return sum(record.levelno == logging.WARNING for record in caplog.records)


def _eventually(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
