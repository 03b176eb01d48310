# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The judgements about sessions that do not get on: silent about a good trace, with a sentence for each fault."""

from dataclasses import replace

import pytest

from otel_backendai.desk.model import Span
from otel_backendai.names import (
    ATTRIBUTE_SESSION_NEXT_STATUS,
    ATTRIBUTE_SESSION_REASON,
    ATTRIBUTE_SESSION_STATUS,
)
from otel_backendai.releases.session_waits import NAME
from tests.realstack.failing_judging import MOST_WAITS, Told, deepest_errors, problems


def span(number: int, parent: int = 0, service: str = "manager", message: str = "", **more: str) -> Span:
    """A span below another one; failed if it has a message; ``more`` are attributes of a session."""
    names = {
        "status": ATTRIBUTE_SESSION_STATUS,
        "following": ATTRIBUTE_SESSION_NEXT_STATUS,
        "reason": ATTRIBUTE_SESSION_REASON,
    }
    return Span(
        trace_id="t",
        span_id=str(number),
        parent_span_id=str(parent) if parent else "",
        name=NAME if more and "following" not in more else f"span {number}",
        kind="internal",
        start_ns=number,
        end_ns=number + 1,
        service=f"backend.ai-{service}",
        status="error" if message else "unset",
        status_message=message,
        attributes={names[name]: value for name, value in more.items()},
    )


FULL = "[Errno 28] No space left on device"
BROKEN = Told(
    traces=[[span(1), span(2, 1, message=f"OSError: {FULL}"), span(3, 2, "agent", FULL)]],
    text=f"ERROR create_kernels\n  {FULL}\n  then CANCELLED: failed-to-start\n",
    meanwhile="then CREATING, 9 s so far",
)
WAIT = span(2, 1, status="PENDING", reason="no room")
NEVER = Told(
    traces=[[span(1), WAIT, span(3, 1, status="PENDING", following="CANCELLED", reason="user-requested")]],
    text="then CANCELLED: user-requested",
    meanwhile="still PENDING after 17 s: no room",
    is_asked=True,
)
TIMEOUT = Told(traces=[[span(1)]], text="then CANCELLED: pending-timeout")


@pytest.mark.parametrize(("case", "told"), [("broken", BROKEN), ("never", NEVER), ("timeout", TIMEOUT)])
def test_what_is_told_well_has_no_problem(case: str, told: Told) -> None:
    """Nothing to say of it; nor of a session that had ended before anybody could ask."""
    assert problems(case, told) == []
    assert problems("broken", replace(BROKEN, meanwhile="")) == []
    assert problems("killed", BROKEN) == []


def test_an_error_that_is_not_the_agents() -> None:
    """The manager's copy of it alone does not say where it broke."""
    told = replace(BROKEN, traces=[[span(1), span(2, 1, message=FULL)]])
    assert problems("broken", told) == ["the deepest error is the manager's: span 2"]
    assert problems("broken", replace(BROKEN, traces=[[span(1)]])) == ["no span failed"]


def test_an_error_without_its_words() -> None:
    """The deepest one says it, and so does what is printed."""
    vague = [[span(1), span(2, 1, "agent", "something failed")]]
    assert problems("broken", replace(BROKEN, traces=vague)) == [
        "the deepest error does not say 'No space left on device'"
    ]
    assert problems("broken", replace(BROKEN, text="then ERROR: x")) == [
        "the deepest error does not say 'No space left on device'"
    ]


def test_a_broken_creation_that_is_told_badly() -> None:
    """In two traces, with a peer's traceback, with no end, or with nothing about where it is."""
    assert problems("broken", replace(BROKEN, traces=[*BROKEN.traces, [span(9)]])) == ["2 traces of one creation"]
    assert problems("broken", replace(BROKEN, text=BROKEN.text + "Traceback (most")) == ["a traceback in the text"]
    assert problems("broken", replace(BROKEN, text=FULL)) == ["no line says what became of the session"]
    assert problems("broken", replace(BROKEN, meanwhile="session PREPARED")) == [
        "no line says where the session was stuck"
    ]


def test_an_agent_that_is_killed() -> None:
    """In the middle of its work; what became of the session is told."""
    assert problems("killed", replace(BROKEN, text="")) == ["no line says what became of the session"]
    late = [[*BROKEN.traces[0], replace(span(4, 1), name="process kernel_started")]]
    assert problems("killed", replace(BROKEN, traces=late)) == ["the agent was not killed while it made a kernel"]


@pytest.mark.parametrize(
    "meanwhile", ["", "still PENDING after 17 s", "PENDING when last heard of, 3.0 h ago: no room"]
)
def test_a_wait_without_a_word(meanwhile: str) -> None:
    """While it waits it is said that it does, and why."""
    assert problems("never", replace(NEVER, meanwhile=meanwhile)) == ["no line said that it was pending, and why"]


def test_an_end_without_its_reason() -> None:
    """It is in the creation's trace, in the release's words and not in its program's."""
    assert problems("never", replace(NEVER, traces=[[span(1), WAIT]])) == [
        "no reason for its end in the trace of the creation"
    ]
    assert problems("never", replace(NEVER, text="then CANCELLED")) == [
        "no reason for its end in the trace of the creation"
    ]
    name = "KernelLifecycleEventReason.USER_REQUESTED"
    odd = span(3, 1, status="PENDING", following="CANCELLED", reason=name)
    told = replace(NEVER, traces=[[span(1), WAIT, odd]], text=f"then CANCELLED: {name}")
    assert problems("never", told) == [f"a reason for programmers: {name}"]


@pytest.mark.parametrize("count", [0, MOST_WAITS + 1])
def test_a_span_for_each_tick(count: int) -> None:
    """Reasons are spans, looking again is none; no span at all is no reason."""
    ended = NEVER.traces[0][-1]
    waits = [span(10 + number, 1, status="PENDING", reason="no room") for number in range(count)]
    assert problems("never", replace(NEVER, traces=[[span(1), *waits, ended]])) == [f"{count} spans about waiting"]


def test_a_time_out_that_is_none() -> None:
    """The release has to end it by itself, and to say so."""
    assert problems("timeout", replace(TIMEOUT, is_asked=True)) == ["the session was not ended by the time-out"]
    for text in ("then CANCELLED", "then TERMINATING: user-requested", "then TERMINATING: schedule-sessions give_up"):
        assert problems("timeout", replace(TIMEOUT, text=text)) == ["no line says that its time was out"]


@pytest.mark.parametrize("text", ["then CANCELLED: PENDING_TIMEOUT", "then TERMINATING: schedule-sessions expired: no"])
def test_a_time_out_in_other_words(text: str) -> None:
    """Each release has its own."""
    assert problems("timeout", replace(TIMEOUT, text=text)) == []


def test_the_deepest_of_a_loop() -> None:
    """A span that is its own ancestor ends nothing."""
    loop = [span(1, 2, message="a"), span(2, 1, message="b"), span(3, 2, message="c")]
    assert [found.span_id for found in deepest_errors(loop)] == ["3"]
