# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Whether the spans of a session's statuses are true: in an order that there is, without gaps, as the client saw them.

What these spans say is what the share of a creation is measured by, so they are compared with what somebody else saw:
the client, who asks the manager for the status again and again.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_SESSION_ID, ATTRIBUTE_SESSION_NEXT_STATUS, ATTRIBUTE_SESSION_STATUS
from tests.realstack.sessions.made import Made

# In which order a session that gets on goes through them; a release leaves some out.
_ORDER: Final = (
    "PENDING",
    "SCHEDULED",
    "PREPARING",
    "PULLING",
    "PREPARED",
    "CREATING",
    "RUNNING",
    "TERMINATING",
    "TERMINATED",
)
RUNNING, TERMINATED = "RUNNING", "TERMINATED"
_FIRST: Final = "PENDING"
# What a manager that was started in the middle knows of the time before; no status.
_BEFORE: Final = "before "

# Seconds between what the database says, which the poll sees, and the event about it, which our spans are read off.
EVENT_LAG: Final = 1.0
# Seconds between two statuses that follow each other; each change is one moment, written down by two processes at most.
_GAP: Final = 0.5


def status_problems(spans: Sequence[Span], one: Made, *, killed: bool = False) -> list[str]:
    """What is wrong with the statuses that the spans tell of a session, from its creation to its end.

    Args:
        spans: All that is known.
        one: The session.
        killed: Whether a process that knew of the first statuses was killed before it had sent them.
    """
    own = _own(spans, one)
    told = [(str(span.attributes[ATTRIBUTE_SESSION_STATUS]), _next(span)) for span in own]
    chain = [status for status in _chain(told) if not status.startswith(_BEFORE)]
    problems = [f"never {status} by its spans" for status in (RUNNING, TERMINATED) if status not in chain]
    unknown = [status for status in chain if status not in _ORDER]
    places = [_ORDER.index(status) for status in chain if status in _ORDER]
    if unknown or any(earlier >= later for earlier, later in pairwise(places)):
        problems.append(f"its statuses are {', '.join(chain)}")
    if not killed:
        problems += _beginning_problems(own, one)
        problems += _gap_problems(own)
    return problems


def _beginning_problems(own: Sequence[Span], one: Made) -> list[str]:
    if not own or own[0].attributes[ATTRIBUTE_SESSION_STATUS] != _FIRST:
        return [f"it does not begin with {_FIRST}"]
    at = own[0].start_ns / 1e9
    if one.posted_at <= at <= one.posted_at + one.post_seconds:
        return []
    return [f"{_FIRST} begins {at - one.posted_at:.1f} s after the request, which took {one.post_seconds:.1f} s"]


def _gap_problems(own: Sequence[Span]) -> list[str]:
    problems = []
    for before, after in pairwise(own):
        following, status = _next(before), str(after.attributes[ATTRIBUTE_SESSION_STATUS])
        if following == RUNNING:
            continue  # a status of hours, which is no span
        apart = (after.start_ns - before.end_ns) / 1e9
        if following != status or abs(apart) > _GAP:
            problems.append(f"{apart:.1f} s between {following} and {status}")
    return problems


def poll_problems(spans: Sequence[Span], one: Made) -> list[str]:
    """Where the spans say another time than the client's poll for when the session came to a status.

    A poll saw the status at a time, and the poll before it, another one: it changed in between.
    """
    ends = {_next(span): span.end_ns / 1e9 for span in _own(spans, one)}
    polled = {status for status, _, _ in one.seen}
    problems = [f"no poll saw it {status}" for status in (RUNNING, TERMINATED) if status not in polled]
    for status, after, at in one.seen:
        told = ends.get(status)
        if told is not None and not after - _GAP <= told <= at + EVENT_LAG:
            problems.append(f"{status} at {told - after:+.1f} s by its spans, 0.0 to {at - after:.1f} s by the poll")
    return problems


def _own(spans: Sequence[Span], one: Made) -> list[Span]:
    """Those of the statuses that have ended: what tells of a wait has no next status."""
    own = [
        span
        for span in spans
        if span.attributes.get(ATTRIBUTE_SESSION_ID) == one.session
        and ATTRIBUTE_SESSION_STATUS in span.attributes
        and ATTRIBUTE_SESSION_NEXT_STATUS in span.attributes
    ]
    return sorted(own, key=lambda span: (span.start_ns, span.end_ns))


def _next(span: Span) -> str:
    return str(span.attributes[ATTRIBUTE_SESSION_NEXT_STATUS])


def _chain(told: Sequence[tuple[str, str]]) -> list[str]:
    """The statuses one after another: one that a span ends with and the next begins with is one."""
    chain: list[str] = []
    for pair in told:
        for status in pair:
            if chain[-1:] != [status]:
                chain.append(status)
    return chain
