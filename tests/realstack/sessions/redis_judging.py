# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What a slow or refusing Redis may do to sessions and to the log: nothing, and a line a minute."""

import re
from collections.abc import Sequence
from datetime import datetime
from statistics import median

from otel_backendai.hops.context_store import LOG_INTERVAL
from tests.realstack.sessions.keyed_redis import DELAY
from tests.realstack.sessions.made import Made

# The beginning of a line that any component writes, and what our store says.
_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) WARNING \S+ \[(\d+)\] Redis does not keep the traces")
# Clocks of processes, and the relay between a worker and the writer of the log.
_TOLERANCE = 1.0


def time_problems(what: str, before: Sequence[Made], after: Sequence[Made]) -> list[str]:
    """Whether creations took longer, by more than what a wait for Redis would at least have cost.

    Args:
        what: How Redis was, in a word.
        before: Sessions made while it was as always.
        after: Sessions made while it was not.
    """
    problems = []
    longer = median(one.post_seconds for one in after) - median(one.post_seconds for one in before)
    if longer >= DELAY / 2:
        problems.append(f"with Redis {what} the answer to a creation took {longer:.1f} s longer")
    # Schedulers tick: the times to RUNNING differ anyway.
    longer = min(one.seconds for one in after) - max(one.seconds for one in before)
    if longer >= DELAY:
        problems.append(f"with Redis {what} a session was RUNNING {longer:.1f} s later")
    return problems


def complaint_problems(lines: Sequence[str]) -> list[str]:
    """Whether a process of a component complained of Redis more than once a minute in its log."""
    latest: dict[str, float] = {}
    problems = []
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        at, process = datetime.fromisoformat(found[1]).timestamp(), found[2]
        if process in latest and at - latest[process] < LOG_INTERVAL - _TOLERANCE:
            problems.append(f"two complaints within {at - latest[process]:.0f} s: {line[:120]}")
        latest[process] = at
    return problems


def complaints(lines: Sequence[str]) -> int:
    """How many such lines there are."""
    return sum(_LINE.match(line) is not None for line in lines)
