# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A session that waits, in the text of a trace: until now while its scheduler says so, and no longer."""

from otel_backendai.cli.trace_components import Components
from otel_backendai.cli.trace_source import Answer
from otel_backendai.cli.trace_statuses import Waits
from otel_backendai.cli.trace_text import TraceText
from otel_backendai.desk.model import Span
from otel_backendai.names import (
    ATTRIBUTE_SESSION_ID,
    ATTRIBUTE_SESSION_NEXT_STATUS,
    ATTRIBUTE_SESSION_REASON,
    ATTRIBUTE_SESSION_STATUS,
)

_SECOND = 10**9
START = 1_700_000_000 * _SECOND


def status(
    start: float, end: float, following: str = "", reason: str = "", session: str = "s", of: str = "PENDING"
) -> Span:
    """A span about a session in a status, between two seconds; with no next status it is what a scheduler said."""
    attributes = {ATTRIBUTE_SESSION_ID: session, ATTRIBUTE_SESSION_STATUS: of}
    attributes |= {ATTRIBUTE_SESSION_NEXT_STATUS: following} if following else {}
    attributes |= {ATTRIBUTE_SESSION_REASON: reason} if reason else {}
    return Span(
        trace_id="t",
        span_id=f"{session}{start}{following}",
        parent_span_id="",
        name=f"session {of}" if following else "session waits",
        kind="internal",
        start_ns=START + int(start * _SECOND),
        end_ns=START + int(end * _SECOND),
        service="manager",
        attributes=attributes,
    )


def at(seconds: float, *spans: Span) -> Waits:
    """What is known that many seconds after the start."""
    return Waits([spans], START + int(seconds * _SECOND))


def test_the_last_word_of_the_scheduler_is_open() -> None:
    """Of what a scheduler said only the last goes on until now, counted from when the session began to wait."""
    first, last = status(0, 1, reason="no agent"), status(1, 61, reason="no room")
    waits = at(90, first, last)
    assert (waits.is_open(first), waits.is_open(last)) == (False, True)
    assert (waits.text(first), waits.text(last)) == ("PENDING: no agent", "still PENDING after 90 s: no room")
    assert waits.end_ns(last) == START + 90 * _SECOND
    assert waits.end_ns(first) == first.end_ns


def test_a_session_that_got_on_does_not_wait() -> None:
    """With its time in the status ended, it is in the next one; why it got on is not told."""
    said, ended = status(0, 1, reason="no room"), status(0, 30, "SCHEDULED", "triggered-by-scheduler")
    waits = at(31, said, ended)
    assert not waits.is_open(said)
    assert (waits.text(said), waits.text(ended)) == ("PENDING: no room", "then SCHEDULED, 1 s so far")


def test_a_session_that_came_back_waits_again() -> None:
    """A creation that failed may be pending once more: what is said after that is open."""
    back = status(40, 41, reason="no room")
    assert at(42, status(0, 30, "SCHEDULED"), back).is_open(back)


def test_sessions_are_told_apart() -> None:
    """That another session of the same request got on says nothing about this one."""
    said = status(0, 1)
    assert at(5, said, status(0, 3, "SCHEDULED", session="other")).is_open(said)


def test_silence_is_not_waiting() -> None:
    """A scheduler repeats itself after as long as the session had waited: beyond that, nobody knows."""
    said = status(0, 600, reason="no room")
    assert at(1200, said).text(said) == "still PENDING after 20 min: no room"
    later = at(600 + 3 * 3600, said)
    assert not later.is_open(said)
    assert later.text(said) == "PENDING when last heard of, 3.0 h ago: no room"


def test_a_session_is_where_its_last_status_leaves_it() -> None:
    """A status that has not ended has no span: the one before it goes on, and says in which one the session is."""
    before, last = status(0, 1, "PREPARED"), status(1, 7, "CREATING", "triggered-by-scheduler", of="PREPARED")
    waits = at(35, last, before)
    assert (waits.is_open(before), waits.is_open(last)) == (False, True)
    assert (waits.text(before), waits.text(last)) == ("", "then CREATING, 28 s so far")
    assert waits.end_ns(last) == START + 35 * _SECOND


def test_a_session_at_its_goal_or_end_is_not_stuck() -> None:
    """It stays there; and what comes after TERMINATING is told below the request that ended it, not here."""
    for goal in ("RUNNING", "CANCELLED", "ERROR", "TERMINATING", "TERMINATED"):
        last = status(1, 7, goal, of="CREATING")
        assert not at(35, status(0, 1, "CREATING"), last).is_open(last)
        assert "so far" not in at(35, last).text(last)
    # In no time at all through a status.
    last = status(7, 7, "RUNNING", of="CREATING")
    passed = status(6, 7, "CREATING", of="PREPARED")
    assert not at(35, passed, last).is_open(passed)


def test_a_session_sent_back_is_pending_so_far() -> None:
    """Why it was sent back is told with it; its scheduler's next word takes the place."""
    back = status(1, 7, "PENDING", "exceeded-max-retries", of="CREATING")
    assert at(9, back).text(back) == "then PENDING, 2 s so far: exceeded-max-retries"
    said = status(7, 12, reason="no room")
    waits = at(15, back, said)
    assert (waits.text(back), waits.text(said)) == (
        "then PENDING: exceeded-max-retries",
        "still PENDING after 8 s: no room",
    )


def test_a_status_is_believed_for_an_hour() -> None:
    """Nobody repeats it, and who should have told of its end may be gone."""
    last = status(1, 7, "CREATING", of="PREPARED")
    assert at(7 + 3600, last).is_open(last)
    later = at(7 + 9 * 3600, last)
    assert not later.is_open(last)
    assert later.end_ns(last) == last.end_ns
    assert later.text(last) == "then CREATING, 9.0 h ago, and not heard of since"


def test_a_time_of_nothing_is_no_error() -> None:
    """A source may send spans without times."""
    said = status(0, 0, reason="no room")
    nowhere = Span("t", "1", "", "x", "", 0, 0, "m", attributes=said.attributes)
    assert Waits([[nowhere]], 0).text(nowhere) == "still PENDING after 0 s: no room"


def test_why_it_did_not_get_on() -> None:
    """A status that led nowhere says where to, and why."""
    assert at(9, ended := status(0, 5, "CANCELLED", "pending-timeout")).text(ended) == "then CANCELLED: pending-timeout"


def test_hostile_values_are_text_or_nothing() -> None:
    """Attributes of another type say nothing, control characters never reach a terminal."""
    said = status(0, 1, reason="\x1b[31mred\n")
    assert "\x1b" not in at(1, said).text(said)
    assert "\n" not in at(1, said).text(said)
    odd = Span("t", "1", "", "x", "", 0, 1, "m", attributes={ATTRIBUTE_SESSION_ID: 1, ATTRIBUTE_SESSION_STATUS: ["P"]})
    assert at(1, odd).text(odd) == ""


def test_the_bar_reaches_to_now() -> None:
    """The axis of the trace ends now, and the open span's bar goes on to there, paler."""
    said = status(0, 10, reason="no room")
    nothing = Components((), (), ())
    text = TraceText(100, colour=False, now_ns=START + 40 * _SECOND)
    _, axis, row, why, *_ = text.answer(Answer("request", [[said]], (), ()), nothing)
    assert axis.endswith("40000.0 ms")
    assert row.endswith("█" * 6 + "░" * 19)
    assert why.strip() == "still PENDING after 40 s: no room"


def test_an_arrival_says_why() -> None:
    """While following, the reason comes with the span."""
    said = status(0, 10, reason="no room")
    assert TraceText(100, colour=False).arrival(said).endswith("session waits  10000.0 ms  PENDING: no room")
