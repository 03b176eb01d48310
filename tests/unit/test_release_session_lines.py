# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The judgement on log lines and records about sessions: whose they are, and that there are some."""

from dataclasses import replace
from datetime import datetime

from otel_backendai.desk.model import LogLine
from otel_backendai.names import LOG_REQUEST_ID
from tests.realstack.sessions.line_judging import (
    lines_about,
    nameless_lines,
    nameless_records,
    shared_work,
    silent_about,
    strange_lines,
    swapped_lines,
)
from tests.realstack.sessions.made import Made

_NOON = datetime(2026, 11, 24, 12, 0, 0).timestamp()  # log lines have local time, too
ONE = Made("session-1", "created-1", "destroyed-1", names=("kernel-1", "c0ffee1"))
TWO = Made("session-2", "created-2", "destroyed-2", names=("kernel-2", "c0ffee2"))
# Its end was asked for at noon, and answered two seconds later.
ENDED = replace(ONE, destroyed_at=_NOON, destroy_seconds=2.0)


def line(seconds: float, request: str, about: str = "kernel-1") -> str:
    """A line of an agent's log, so many seconds after noon."""
    at = datetime.fromtimestamp(_NOON + seconds).isoformat(" ", "milliseconds")
    return f"{at} INFO ai.backend.agent.agent [7] {about} [request_id={request}]"


def test_lines_of_another() -> None:
    """A line about one session with the ID of another's request has leaked; one about both is both's."""
    good = ["kernel-1 starts [request_id=created-1]", "session-1 and session-2 wait [request_id=created-2]", "tick"]
    assert strange_lines({"agent": good}, [ONE, TWO]) == []
    leaked = strange_lines({"manager": ["c0ffee1 ends [request_id=destroyed-2]"]}, [ONE, TWO])
    assert leaked == ["manager says of session-1 under another's request ID: c0ffee1 ends [request_id=destroyed-2]"]


def test_lines_of_nobody() -> None:
    """A line that names the session, its kernel or its container, and no request of it."""
    lines = ["session-1 [request_id=created-1]", "kernel-1 ends [request_id=destroyed-1]", "c0ffee1", "kernel-2"]
    assert lines_about(lines, ONE) == lines[:3]
    assert nameless_lines(lines, ONE) == ["c0ffee1"]
    timers = (
        "2026-11-24 03:08:08.698 WARNING ai.backend.agent.stats [7] no container for kernel kernel-1 [request_id=x]"
    )
    assert nameless_lines([timers], ONE) == []


def test_lines_of_work_for_several() -> None:
    """A heartbeat's clean-up of several sessions has an ID of its own, also where it is about one of them."""
    lines = [
        "purge kernel-1, kernel-2 [request_id=beat]",
        "purge kernel-1 [request_id=beat]",
        "kernel-1 alone [request_id=other]",
        "kernel-1, kernel-2",
        "kernel-1, kernel-2 [request_id=created-2]",
    ]
    made = [
        LogLine(0, "INFO", f"drop {about}", "backend.ai-agent", attributes={LOG_REQUEST_ID: request})
        for about, request in (
            ("kernel-1 and kernel-2", "drop"),
            ("kernel-2", "drop"),
            ("kernel-2", "beat"),
            ("kernel-2", ""),
        )
    ]
    shared = shared_work(lines, made, [ONE, TWO])
    assert shared == {"beat", "drop"}
    assert nameless_lines(lines, ONE, shared) == [lines[2], lines[3], lines[4]]
    assert nameless_records(made, TWO, shared) == ["drop kernel-2"]
    assert shared_work(lines[:1], made, [ONE]) == frozenset()


def test_records_of_nobody() -> None:
    """What a receiver has is judged like the file: a record about the session carries the ID of one of its requests."""
    made = [
        LogLine(0, "INFO", "kernel-1 ends", "backend.ai-agent", attributes={LOG_REQUEST_ID: request})
        for request in ("destroyed-1", "created-2", "")
    ]
    assert nameless_records(made[:1], ONE) == []
    assert nameless_records(made, ONE) == ["kernel-1 ends", "kernel-1 ends"]
    assert nameless_records(made, TWO) == []
    assert nameless_records([replace(made[2], logger="ai.backend.agent.stats")], ONE) == []


def test_silence_is_no_proof() -> None:
    """An agent that says nothing of a session, into its log or to the receiver, is red: there is nothing to judge."""
    record = LogLine(0, "INFO", "kernel-1 ends", "backend.ai-agent", attributes={LOG_REQUEST_ID: "created-1"})
    assert silent_about(["kernel-1 [request_id=created-1]"], [record], ONE) == []
    assert silent_about(["kernel-2 [request_id=created-1]"], [record], ONE) == ["no line of the agent about session-1"]
    assert silent_about(["kernel-1"], [], ONE) == ["no record of the agent about session-1"]
    timers = "2026-11-24 03:08:08.698 WARNING ai.backend.agent.stats [7] no container for kernel kernel-1"
    assert silent_about([timers], [record], ONE) == ["no line of the agent about session-1"]


def test_each_line_names_the_right_one_of_two_requests() -> None:
    """The creation's until the end was answered, the end's from when that was asked for."""
    good = [line(-60, "created-1"), line(1, "created-1"), line(1, "destroyed-1"), line(60, "destroyed-1")]
    assert swapped_lines({"agent": good}, [ENDED, TWO]) == []
    early = swapped_lines({"agent": [line(-60, "destroyed-1")]}, [ENDED, TWO])
    assert len(early) == 1
    assert early[0].startswith("agent says under the request of its end before that: 2026-11-24 11:59:00")
    late = swapped_lines({"manager": [line(60, "created-1")]}, [ENDED, TWO])
    assert len(late) == 1
    assert late[0].startswith("manager says under the request of its creation while it ends: 2026-11-24 12:01:00")


def test_what_cannot_be_told_is_left() -> None:
    """A line without a time, one about two sessions, and a session of whose end no time is told."""
    assert swapped_lines({"agent": ["kernel-1 [request_id=destroyed-1]"]}, [ENDED]) == []
    assert swapped_lines({"agent": [line(60, "created-1", "kernel-1 kernel-2")]}, [ENDED, TWO]) == []
    assert swapped_lines({"agent": [line(60, "created-1")]}, [ONE]) == []
