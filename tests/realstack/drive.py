#!/usr/bin/env python
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
smoke.py under the plugin: each journey, and each step that is in none, has a span and a
request ID of its own, and both are written down, so that what the components did can be
asked for.

    opentelemetry-instrument python drive.py --report FILE [options of smoke.py]

Each step in FILE has {request_id, trace_id, responses} in addition to what smoke.py tells;
a response is {method, url, status, request_ids}: the values of its X-Backend-Request-ID.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext

import aiohttp
from opentelemetry import trace
from opentelemetry.trace import format_trace_id
from smoke import Run, drive, parser  # type: ignore[import-not-found]  # beside it, where it is run

from otel_backendai.api import bind_request_id, current_request_id
from otel_backendai.names import HEADER_RESPONSE_REQUEST_ID

_responses: list[dict[str, object]] = []


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
            _responses.clear()
            async with super().step(title, waits) as note:
                yield note
        self.steps[-1] |= {**names, "responses": list(_responses)}
        self.write_report()


@contextmanager
def _named(title: str) -> Iterator[None]:
    with bind_request_id(), trace.get_tracer("realstack").start_as_current_span(title):
        yield


async def _note(
    _session: aiohttp.ClientSession,
    _context: object,
    done: aiohttp.TraceRequestEndParams | aiohttp.TraceRequestRedirectParams,
) -> None:
    response = done.response
    _responses.append(
        {
            "method": done.method,
            "url": str(response.url.with_query(None)),
            "status": response.status,
            "request_ids": response.headers.getall(HEADER_RESPONSE_REQUEST_ID, []),
        }
    )


def _note_responses() -> None:
    """Have each session of aiohttp, whoever makes it, write down what its responses say, redirects included."""
    config = aiohttp.TraceConfig()
    config.on_request_end.append(_note)
    config.on_request_redirect.append(_note)
    config.freeze()
    original = aiohttp.ClientSession.__init__

    def noting(self: aiohttp.ClientSession, *args: object, **kwargs: object) -> None:
        kwargs["trace_configs"] = [*(kwargs.get("trace_configs") or ()), config]  # type: ignore[misc]
        original(self, *args, **kwargs)  # type: ignore[arg-type]

    aiohttp.ClientSession.__init__ = noting  # type: ignore[method-assign]


if __name__ == "__main__":
    _note_responses()
    drive(NamedRun(parser().parse_args()))
