# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What a place that keeps traces is asked, whichever it is, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from otel_backendai.cli.arguments import UsageError
from otel_backendai.desk.model import LogLine, Span

DESK = "desk"
JAEGER = "jaeger"


class SourceError(UsageError):
    """The source cannot be reached, or is none; one sentence, exit status 2."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to look for.

    Args:
        identifier: A request, trace, session, kernel or vfolder ID.
        since_ns: Traces that ended before are left out; a trace ID finds its trace of any age.
        limit: How many traces at most, the latest.
    """

    identifier: str
    since_ns: int
    limit: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found.

    Args:
        found_as: What the identifier is: ``request``, ``trace``, ``session``, ``kernel``, ``vfolder``; "" when
            nothing was found.
        traces: The spans of each trace, at least one; the earliest trace first.
        logs: Log lines, where the source keeps them.
        services: All components that the source has spans of.
        cut: Whether there are more traces than the limit allows.
    """

    found_as: str
    traces: Sequence[Sequence[Span]]
    logs: Sequence[LogLine]
    services: Sequence[str]
    cut: bool = False


class TraceSource(Protocol):
    """A desk or a Jaeger."""

    kind: str
    endpoint: str

    async def find(self, question: Question) -> Answer:
        """Everything that carries the identifier. Raises :class:`SourceError`."""
        ...


def latest(traces: list[list[Span]], question: Question) -> tuple[list[list[Span]], bool]:
    """The latest traces of a list that allows no more than the question, the earliest first; and whether it is cut."""
    ordered = sorted(traces, key=lambda spans: (min(span.start_ns for span in spans), spans[0].trace_id))
    return ordered[-question.limit :], len(ordered) > question.limit
