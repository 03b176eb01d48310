# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Hands broadcast events to the clients that listen to this worker."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

# A client that reads slower than this many events loses the newest.
MAX_WAITING = 100


class EventHub:
    """One bounded queue per listening client; `None` in a queue is the end."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[str | None]] = set()

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[str | None]]:
        """A queue that gets every published line while the context is open."""
        queue: asyncio.Queue[str | None] = asyncio.Queue(MAX_WAITING)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    def publish(self, line: str) -> None:
        """Give `line` to every listening client that has room."""
        for queue in self._queues:
            if not queue.full():
                queue.put_nowait(line)

    def close(self) -> None:
        """Tell every listening client that this is the end."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
