# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What a release shows of a session by itself: its own tracing without the plugin, where it has one."""

import json
from collections.abc import Sequence
from pathlib import Path

from otel_backendai.desk.model import Span
from tests.realstack.sessions.coverage import covered
from tests.realstack.sessions.made import Made

_KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


def read_sink(path: Path, since_ns: int) -> list[Span]:
    """The spans in the file of ``otlp_sink.py`` that began at ``since_ns`` or later; none if there is no such file."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [
        Span(
            trace_id=row["trace"],
            span_id=row["span"],
            parent_span_id=row["parent"] or "",
            name=row["name"],
            kind=_KINDS.get(row["kind"], ""),
            start_ns=int(row["start"]),
            end_ns=int(row["end"]),
            service=str(row["service"]),
        )
        for row in rows
        if row.get("signal") == "span" and int(row["start"]) >= since_ns
    ]


def share_alone(spans: Sequence[Span], one: Made) -> tuple[float, int]:
    """How much of the creation's time its trace covers without its root, and by how many spans.

    Without request IDs the trace is known by its time: the one in which the manager's first request for a session began
    after the client had asked for it, and before it had the answer.
    """
    start, end = int(one.posted_at * 1e9), int(one.running_at * 1e9)
    answered = start + int(one.post_seconds * 1e9)
    roots = [
        span
        for span in spans
        if span.kind == "server" and "session" in span.name.lower() and start <= span.start_ns <= answered
    ]
    if not roots:
        return 0.0, 0
    root = min(roots, key=lambda span: span.start_ns)
    trace = [span for span in spans if span.trace_id == root.trace_id]
    return covered([span for span in trace if span is not root], root.start_ns, end), len(trace)
