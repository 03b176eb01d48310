# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Who sent what: a receiver behind the desk, which gets a copy of everything and keeps the processes it came from."""

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from otel_backendai.desk.model import LogLine, Span
from otel_backendai.desk.server import Desk
from otel_backendai.desk.store import Store
from otel_backendai.sdk.resource import PROCESS_PID, SERVICE_INSTANCE_ID
from tests.realstack.matrix.observation import component_of

_HOST: Final = "host.name"


@dataclass(frozen=True, slots=True)
class Sender:
    """What an item says of the process that sent it: "" and ``None`` where it says nothing."""

    component: str
    host: str
    pid: int | None
    instance: str
    signal: str


class Senders(Store):
    """Keeps the different senders of all spans and log records, and nothing else of them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[Sender, None] = {}

    def add_spans(self, spans: Iterable[Span], size: int = 0) -> None:
        """Note who sent ``spans``."""
        self.seen |= {sender_of(span, "span"): None for span in spans}

    def add_logs(self, logs: Iterable[LogLine], size: int = 0) -> None:
        """Note who sent ``logs``."""
        self.seen |= {sender_of(log, "log record"): None for log in logs}


def sender_of(item: Span | LogLine, signal: str) -> Sender:
    """The sender that the resource of an item names."""
    pid = item.resource.get(PROCESS_PID)
    return Sender(
        component_of(item),
        str(item.resource.get(_HOST) or ""),
        pid if isinstance(pid, int) else None,
        str(item.resource.get(SERVICE_INSTANCE_ID) or ""),
        signal,
    )


@contextmanager
def receiving() -> Iterator[tuple[str, Senders]]:
    """A receiver in a thread: its base URL, and what it fills."""
    senders = Senders()
    desk = Desk(store=senders)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="senders", daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(desk.start(), loop).result()
    try:
        yield desk.url, senders
    finally:
        asyncio.run_coroutine_threadsafe(desk.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
