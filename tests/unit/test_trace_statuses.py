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


def status(start: float, end: float, following: str = "", reason: str = "", session: str = "s") -> Span:
    """A span about a session in PENDING, between two seconds; with no next status it is what a scheduler said."""
    attributes = {ATTRIBUTE_SESSION_ID: session, ATTRIBUTE_SESSION_STATUS: "PENDING"}
    attributes |= {ATTRIBUTE_SESSION_NEXT_STATUS: following} if following else {}
    attributes |= {ATTRIBUTE_SESSION_REASON: reason} if reason else {}
    return Span(
        trace_id="t",
        span_id=f"{session}{start}",
        parent_span_id="",
        name="session PENDING" if following else "session waits",
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
    """With its time in the status ended, nothing is open; why it got on is not told."""
    said, ended = status(0, 1, reason="no room"), status(0, 30, "SCHEDULED", "triggered-by-scheduler")
    waits = at(31, said, ended)
    assert not waits.is_open(said)
    assert (waits.text(said), waits.text(ended)) == ("PENDING: no room", "")


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
