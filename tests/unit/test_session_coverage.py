# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The figures about a session's trace: what counts as covered, and what as another's."""

from dataclasses import replace

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_REQUEST_ID, ATTRIBUTE_SESSION_ID, ATTRIBUTE_SESSION_STATUS
from tests.realstack.sessions.coverage import coverage, covered

_SECOND = 1_000_000_000
ROOT = Span(
    trace_id="t",
    span_id="1",
    parent_span_id="",
    name="POST /session",
    kind="server",
    start_ns=0,
    end_ns=_SECOND,
    service="manager",
    attributes={ATTRIBUTE_REQUEST_ID: "a", ATTRIBUTE_SESSION_ID: "s"},
)


def span(start: int, end: int, **changes: object) -> Span:
    """A span of the same request between two seconds."""
    made = replace(ROOT, name="work", kind="internal", start_ns=start * _SECOND, end_ns=end * _SECOND)
    return replace(made, **changes)  # type: ignore[arg-type]  # names of fields


def test_overlaps_count_once() -> None:
    """Two spans at the same time cover no more than one."""
    assert covered([span(0, 4), span(2, 6), span(3, 4)], 0, 10 * _SECOND) == 0.6


def test_only_what_is_in_time_counts() -> None:
    """What runs before the request or after the end covers nothing."""
    assert covered([span(-5, 1), span(9, 20)], 0, 10 * _SECOND) == 0.2
    assert covered([], 0, 0) == 1.0


def test_the_request_itself_covers_nothing() -> None:
    """A long request explains nothing of what goes on meanwhile."""
    figures = coverage([ROOT, span(1, 2)], "a", 10 * _SECOND)
    assert figures is not None
    assert (figures.share, figures.seconds, figures.traces, figures.spans) == (0.1, 10.0, 1, 2)


def test_statuses_are_told_apart() -> None:
    """Statuses cover all by themselves; what the other spans explain is told beside it."""
    pending = span(0, 8, name="session PENDING", attributes={**ROOT.attributes, ATTRIBUTE_SESSION_STATUS: "PENDING"})
    figures = coverage([ROOT, pending, span(0, 1)], "a", 10 * _SECOND)
    assert figures is not None
    assert (figures.share, figures.without_statuses, figures.statuses) == (0.8, 0.1, ("PENDING",))


def test_two_traces_are_two() -> None:
    """A request whose spans are in several traces is not one trace."""
    figures = coverage([ROOT, span(1, 2, trace_id="u", service="agent")], "a", 10 * _SECOND)
    assert figures is not None
    assert (figures.traces, figures.components) == (2, ("agent", "manager"))


def test_no_trace() -> None:
    """A request that nobody saw has no figures."""
    assert coverage([ROOT], "b", 1) is None
