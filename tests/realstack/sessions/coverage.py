# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""How much of a session's making its trace explains: figures from spans, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_REQUEST_ID, ATTRIBUTE_SESSION_STATUS
from tests.realstack.matrix.observation import component_of

# What our status spans are named; upstream makes none of this kind.
_STATUS_NAME = "session "
_CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the spans of one request say about one session.

    ``share`` is the part of
    the time between ``start`` and ``end`` (nanoseconds) in which a span other than the request's own runs,
    ``without_statuses`` the same by spans which are no status either.
    """

    traces: int
    spans: int
    components: tuple[str, ...]
    statuses: tuple[str, ...]
    share: float
    without_statuses: float
    seconds: float


def coverage(spans: Sequence[Span], request: str, end: int, start: int | None = None) -> Coverage | None:
    """Judge the spans of ``request`` from its arrival until ``end``; ``None`` when it has none.

    Args:
        spans: All that is known.
        request: The request's ID.
        end: When the session had the status in question, nanoseconds since the epoch.
        start: When the request was sent, for one whose own span may be lost; by default that span's beginning.
    """
    own = [span for span in spans if span.attributes.get(ATTRIBUTE_REQUEST_ID) == request]
    servers = [span for span in own if span.kind == "server"]
    if not servers:
        return None
    first = min(servers, key=lambda span: span.start_ns)
    if start is None:
        start = first.start_ns
        rest = [span for span in own if span is not first and span.start_ns >= start]
    else:
        rest = [span for span in own if span.kind != "server" and component_of(span) != _CLIENT]
    statuses = sorted((span for span in rest if _is_status(span)), key=lambda span: span.start_ns)
    return Coverage(
        traces=len({span.trace_id for span in own}),
        spans=len(own),
        components=tuple(sorted({component_of(span) for span in own})),
        statuses=tuple(str(span.attributes[ATTRIBUTE_SESSION_STATUS]) for span in statuses),
        share=covered(rest, start, end),
        without_statuses=covered([span for span in rest if not _is_status(span)], start, end),
        seconds=(end - start) / 1e9,
    )


def covered(spans: Sequence[Span], start: int, end: int) -> float:
    """The part of the time between ``start`` and ``end`` in which at least one of ``spans`` runs; 1.0 for no time."""
    total, reached = 0, start
    for span in sorted(spans, key=lambda span: span.start_ns):
        begin, stop = max(span.start_ns, reached), min(span.end_ns, end)
        if stop > begin:
            total += stop - begin
            reached = stop
    return total / (end - start) if end > start else 1.0


def _is_status(span: Span) -> bool:
    return span.name.startswith(_STATUS_NAME) and ATTRIBUTE_SESSION_STATUS in span.attributes
