#!/usr/bin/env python
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
smoke.py under the plugin: each journey, and each step that is in none, has a span and a
request ID of its own, and both are written down, so that what the components did can be
asked for.

    opentelemetry-instrument python drive.py --report FILE [options of smoke.py]

Each step in FILE has {request_id, trace_id} in addition to what smoke.py tells.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext

from opentelemetry import trace
from opentelemetry.trace import format_trace_id
from smoke import Run, drive, parser  # type: ignore[import-not-found]  # beside it, where it is run

from otel_backendai.api import bind_request_id, current_request_id


class NamedRun(Run):  # type: ignore[misc]  # see above
    """A run whose journeys and steps can be told apart at the receiver."""

    @asynccontextmanager
    async def journey(self, title: str) -> AsyncIterator[None]:
        """As in smoke.py, inside one span, under one new request ID."""
        with _named(title):
            async with super().journey(title):
                yield

    @asynccontextmanager
    async def step(self, title: str, waits: bool = False) -> AsyncIterator[dict[str, object]]:
        """As in smoke.py, inside a span under a new request ID, or in those of its journey."""
        with nullcontext() if self._journey else _named(title):
            names = {
                "request_id": current_request_id(),
                "trace_id": format_trace_id(trace.get_current_span().get_span_context().trace_id),
            }
            async with super().step(title, waits) as note:
                yield note
        self.steps[-1] |= names
        self.write_report()


@contextmanager
def _named(title: str) -> Iterator[None]:
    with bind_request_id(), trace.get_tracer("realstack").start_as_current_span(title):
        yield


if __name__ == "__main__":
    drive(NamedRun(parser().parse_args()))
