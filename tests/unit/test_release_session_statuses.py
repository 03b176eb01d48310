# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The judgement on the statuses that a session's spans tell of: a red case for every rule."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_SESSION_ID, ATTRIBUTE_SESSION_NEXT_STATUS, ATTRIBUTE_SESSION_STATUS
from tests.realstack.sessions.made import Made
from tests.realstack.sessions.status_judging import poll_problems, status_problems

_SECOND = 1_000_000_000
ONE = Made("session-1", "created-1", "destroyed-1", posted_at=0.0, post_seconds=0.5)


def span(status: str, following: str, start: float, end: float) -> Span:
    """The time in a status."""
    attributes = {ATTRIBUTE_SESSION_ID: "session-1", ATTRIBUTE_SESSION_STATUS: status}
    return Span(
        "trace-1",
        f"{status}{start}",
        "",
        f"session {status}",
        "internal",
        int(start * _SECOND),
        int(end * _SECOND),
        "backend.ai-manager",
        attributes=attributes | ({ATTRIBUTE_SESSION_NEXT_STATUS: following} if following else {}),
    )


GOOD = [
    span("PENDING", "SCHEDULED", 0.2, 2),
    span("SCHEDULED", "PREPARING", 2, 3),
    span("PREPARING", "RUNNING", 3.1, 5),
    span("TERMINATING", "TERMINATED", 3600, 3603),
]


def test_a_session_that_gets_on() -> None:
    """In order, one after another; its hours of RUNNING are no span, and why it waited is no status that has ended."""
    waits = span("PENDING", "", 0.2, 1)
    assert status_problems([*GOOD, waits], ONE) == []
    assert status_problems([*reversed(GOOD), replace(waits, attributes={})], ONE) == []


@pytest.mark.parametrize(
    ("spans", "said"),
    [
        ([], "never RUNNING by its spans"),
        (GOOD[:3], "never TERMINATED by its spans"),
        (GOOD[3:], "never RUNNING by its spans"),
        (GOOD[1:], "it does not begin with PENDING"),
        ([GOOD[0], *GOOD[2:]], "1.1 s between SCHEDULED and PREPARING"),
        ([GOOD[0], replace(GOOD[1], start_ns=int(2.8 * _SECOND)), *GOOD[2:]], "0.8 s between SCHEDULED and SCHEDULED"),
        ([GOOD[0], replace(GOOD[1], start_ns=_SECOND), *GOOD[2:]], "-1.0 s between SCHEDULED and SCHEDULED"),
        ([span("PENDING", "SCHEDULED", 0.9, 2), *GOOD[1:]], "PENDING begins 0.9 s after the request"),
        ([span("PENDING", "SCHEDULED", -0.1, 2), *GOOD[1:]], "PENDING begins -0.1 s after the request"),
        (
            [*GOOD[:2], span("PREPARING", "SCHEDULED", 3, 4), span("SCHEDULED", "RUNNING", 4, 5), GOOD[3]],
            "its statuses are PENDING, SCHEDULED, PREPARING, SCHEDULED, RUNNING, TERMINATING, TERMINATED",
        ),
        ([*GOOD[:3], span("RUNNING", "TERMINATED", 5, 6), *GOOD[3:]], "its statuses are"),
        ([*GOOD[:2], span("PREPARING", "ON_FIRE", 3, 4), span("ON_FIRE", "RUNNING", 4, 5), GOOD[3]], "ON_FIRE"),
        ([*GOOD[:2], replace(GOOD[2], attributes={ATTRIBUTE_SESSION_ID: "2"})], "never RUNNING"),
    ],
)
def test_statuses_that_cannot_be(spans: Sequence[Span], said: str) -> None:
    """One that was not reached, an order that there is not, time that no status or two statuses explain."""
    assert any(said in problem for problem in status_problems(spans, ONE)), status_problems(spans, ONE)


def test_a_killed_manager_takes_the_first_with_it() -> None:
    """What it had not sent is lost; that the session got on, and in which order, is not forgiven."""
    later = [span("before PREPARING", "PREPARING", 0.1, 3), *GOOD[2:]]
    assert status_problems(later, ONE, killed=True) == []
    assert status_problems(GOOD[2:], ONE, killed=True) == []
    assert status_problems(GOOD[:2], ONE, killed=True) != []
    assert status_problems([span("RUNNING", "PREPARING", 1, 2), *GOOD[2:]], ONE, killed=True) != []


def test_the_poll_has_the_last_word() -> None:
    """A status that the spans put where the client saw another one, or none, is not believed."""
    seen = [("SCHEDULED", 1.8, 2.1), ("RUNNING", 4.9, 5.2), ("TERMINATED", 3602.9, 3603.2)]
    one = replace(ONE, seen=seen)
    assert poll_problems(GOOD, one) == []
    early = replace(one, seen=[seen[0], ("RUNNING", 8.0, 8.3), seen[2]])
    assert poll_problems(GOOD, early) == ["RUNNING at -3.0 s by its spans, 0.0 to 0.3 s by the poll"]
    late = replace(one, seen=[("RUNNING", 2.0, 2.3), seen[2]])
    assert poll_problems(GOOD, late) == ["RUNNING at +3.0 s by its spans, 0.0 to 0.3 s by the poll"]
    assert poll_problems(GOOD, replace(one, seen=[("CREATING", 2.0, 2.3), *seen[1:]])) == []
    # A client that has not looked confirms nothing.
    assert poll_problems(GOOD, ONE) == ["no poll saw it RUNNING", "no poll saw it TERMINATED"]
