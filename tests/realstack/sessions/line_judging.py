# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Which of a session's requests its log lines and records name; data in, sentences out, none when all is well."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from otel_backendai.desk.model import LogLine
from tests.realstack.matrix.observation import named
from tests.realstack.matrix.sentences import some
from tests.realstack.sessions.made import Made

# A timer's run over all kernels, which names one that is not ready; the run's own request ID is the right one there.
_OF_A_TIMER = "ai.backend.agent.stats"
# At the end of a line.
_REQUEST_ID = re.compile(r"\brequest_id=([^\s\]]+)")
# How each line of a component begins.
_TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+")
# Seconds: what was under way when the session's end was asked for, and the relay between a worker and the log.
_UNDER_WAY: Final = 1.0


def strange_lines(lines: Mapping[str, Sequence[str]], made: Sequence[Made]) -> list[str]:
    """Log lines about a session under a request ID of another one, by component."""
    problems = []
    for component, text in lines.items():
        for line in text:
            about = [one for one in made if _is_about(line, one)]
            carried = [one for one in made if any(request in line for request in one.requests)]
            if about and any(one not in about for one in carried):
                problems.append(f"{component} says of {about[0].session} under another's request ID: {line[:160]}")
    return some(problems)


def swapped_lines(lines: Mapping[str, Sequence[str]], made: Sequence[Made]) -> list[str]:
    """Log lines about one session under the wrong one of its two requests, by component.

    Nothing can be under the request that ended it before that was sent; what is said a while after that was answered
    is not the creation's any more.
    """
    problems = []
    for component, text in lines.items():
        for line in text:
            about = [one for one in made if _is_about(line, one)]
            at = _time_of(line)
            # A line about several may have the ID of any of them; one without a time goes on with another line.
            if len(about) != 1 or at is None or f" {_OF_A_TIMER} " in line:
                continue
            (one,) = about
            if one.destroyed in line and at < one.destroyed_at - _UNDER_WAY:
                problems.append(f"{component} says under the request of its end before that: {line[:160]}")
            if one.created in line and one.ending_from and at > one.ending_from + _UNDER_WAY:
                problems.append(f"{component} says under the request of its creation while it ends: {line[:160]}")
    return some(problems)


def silent_about(lines: Sequence[str], records: Sequence[LogLine], one: Made) -> list[str]:
    """Whether a component that works for every session said nothing about this one, so that nothing can be wrong."""
    said = [] if lines_about(lines, one) else [f"no line of the agent about {one.session}"]
    return said + ([] if records_about(records, one) else [f"no record of the agent about {one.session}"])


def lines_about(lines: Sequence[str], one: Made) -> list[str]:
    """Those of a component's log lines that name the session, a kernel or a container of it, and are no timer's."""
    return [line for line in lines if _is_about(line, one) and f" {_OF_A_TIMER} " not in line]


def shared_work(lines: Sequence[str], records: Sequence[LogLine], made: Sequence[Made]) -> frozenset[str]:
    """The request IDs of work for several of the sessions at once, as a heartbeat's: by the lines that name several."""
    named_lines = [(line, found[1]) for line in lines if (found := _REQUEST_ID.search(line))]
    said = [*named_lines, *((record.body, named(record)) for record in records)]
    requests = {request for one in made for request in one.requests}
    shared = {identifier for text, identifier in said if sum(_is_about(text, one) for one in made) > 1}
    return frozenset(identifier for identifier in shared - requests if identifier)


def nameless_lines(lines: Sequence[str], one: Made, shared: Collection[str] = ()) -> list[str]:
    """Those lines about the session that carry no request ID of it, nor one of ``shared`` work."""
    allowed = [*one.requests, *shared]
    return [line for line in lines_about(lines, one) if not any(request in line for request in allowed)]


def records_about(records: Sequence[LogLine], one: Made) -> list[LogLine]:
    """Those log records at the receiver that are about the session, and are no timer's."""
    return [record for record in records if _is_about(record.body, one) and record.logger != _OF_A_TIMER]


def nameless_records(records: Sequence[LogLine], one: Made, shared: Collection[str] = ()) -> list[str]:
    """Log records at the receiver that are about the session and carry no request ID of it or of ``shared`` work."""
    allowed = {*one.requests, *shared}
    return [record.body for record in records_about(records, one) if named(record) not in allowed]


def _is_about(line: str, one: Made) -> bool:
    return any(name in line for name in (one.session, *one.names))


def _time_of(line: str) -> float | None:
    found = _TIME.match(line)
    return None if found is None else datetime.fromisoformat(found[0]).timestamp()
