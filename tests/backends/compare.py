# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The same question to a desk and to Jaeger, and the answers in a form that can be compared.

What is taken out before they are compared, and why:

* the order of lists: Jaeger keeps services, operations and spans in maps; where it has none, it answers null;
* the keys of processes (p1, p2, ...): they follow the order of spans, so each span gets its process itself;
* the texts of refusals: Jaeger's end with the words of Go's parsers. Their codes are compared.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from otel_backendai.desk.server import Desk
from tests.backends.servers import JSON, Jaeger, get_json


@dataclass(frozen=True)
class Both:
    """A desk and a Jaeger that got the same spans."""

    desk_url: str
    jaeger: Jaeger

    def answers(self, path: str, **parameters: str | int) -> tuple[JSON, JSON]:
        """The desk's answer and Jaeger's, in a form that can be compared."""
        return plain(get_json(self.desk_url, path, parameters)), plain(self.jaeger.get(path, **parameters))


@contextmanager
def running_desk(forward_to: str | None = None) -> Iterator[Desk]:
    """A desk in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    desk = Desk(forward_to=forward_to)
    asyncio.run_coroutine_threadsafe(desk.start(), loop).result(10)
    try:
        yield desk
    finally:
        asyncio.run_coroutine_threadsafe(desk.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def plain(answer: JSON) -> JSON:
    """An answer of the query API in a form that can be compared."""
    if answer["errors"] and "code" in answer["errors"][0]:
        return {**answer, "errors": [error["code"] for error in answer["errors"]]}
    data = answer["data"] or []
    if data and isinstance(data[0], dict) and "spans" in data[0]:
        data = sorted(map(_plain_trace, data), key=lambda trace: str(trace["traceID"]))
    elif data:
        data = sorted(data, key=json.dumps)
    return {**answer, "data": data}


def _plain_trace(trace: JSON) -> JSON:
    processes = trace["processes"]
    spans = [{**span, "processID": processes[span["processID"]]} for span in trace["spans"]]
    return {**trace, "spans": sorted(spans, key=lambda span: str(span["spanID"])), "processes": len(processes)}
