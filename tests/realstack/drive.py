#!/usr/bin/env python
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
smoke.py under the plugin: each step has a span of its own and a request ID of its
own, and both are written down, so that what the components did can be asked for.

    opentelemetry-instrument python drive.py --report FILE [options of smoke.py]

FILE gets a list of {title, request_id, trace_id, error, note}, as JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from opentelemetry import trace
from opentelemetry.trace import format_trace_id
from smoke import Run, drive, parser  # type: ignore[import-not-found]  # beside it, where it is run

from otel_backendai.api import bind_request_id


class NamedRun(Run):  # type: ignore[misc]  # see above
    """A run whose steps can be told apart at the receiver."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        self._report: Path = args.report
        self._steps: list[dict[str, object]] = []
        self._tracer = trace.get_tracer("realstack")

    @asynccontextmanager
    async def step(self, title: str) -> AsyncIterator[dict[str, object]]:
        """As in smoke.py, inside a span, under a new request ID."""
        with bind_request_id() as request_id, self._tracer.start_as_current_span(title) as span:
            async with super().step(title) as note:
                yield note
        self._steps.append(
            {
                "title": title,
                "request_id": request_id,
                "trace_id": format_trace_id(span.get_span_context().trace_id),
                "error": str(note.get("error", "")),
                "note": note,
            }
        )
        self._report.write_text(json.dumps(self._steps, default=str))


if __name__ == "__main__":
    options = parser()
    options.add_argument("--report", type=Path, required=True)
    drive(NamedRun(options.parse_args()))
