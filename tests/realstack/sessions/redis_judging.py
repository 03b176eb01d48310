# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What a slow or refusing Redis may do to sessions and to the log: nothing, and a line a minute."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from statistics import median

from otel_backendai.hops.context_store import LOG_INTERVAL
from tests.realstack.sessions.keyed_redis import DELAY
from tests.realstack.sessions.made import Made

# The beginning of a line that any component writes, and what our store says.
_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) WARNING \S+ \[(\d+)\] Redis does not keep the traces")
# Clocks of processes, and the relay between a worker and the writer of the log.
_TOLERANCE = 1.0


def time_problems(what: str, before: Sequence[Sequence[Made]], after: Sequence[Sequence[Made]]) -> list[str]:
    """Whether creations took longer, by more than half of what one wait for Redis would have cost.

    Medians are compared: one run that was late, or early, by itself says nothing. Schedulers tick, and sessions of one
    run go by the same ticks: for RUNNING, what the runs before differ by themselves is allowed as well.

    Args:
        what: How Redis was, in a word.
        before: Runs of sessions made while it was as always.
        after: Runs of sessions made while it was not.
    """
    problems = []
    longer = _median(before, after, lambda one: one.post_seconds)
    if longer >= DELAY / 2:
        problems.append(f"with Redis {what} the answer to a creation took {longer:.1f} s longer")
    longer, usual = _median(before, after, lambda one: one.seconds), _spread(before)
    if longer >= DELAY / 2 + usual:
        problems.append(f"with Redis {what} a session was RUNNING {longer:.1f} s later, {usual:.1f} s is usual")
    return problems


def _median(before: Sequence[Sequence[Made]], after: Sequence[Sequence[Made]], of: Callable[[Made], float]) -> float:
    """By how much the median over all sessions became longer."""
    one, other = (median(of(made) for run in runs for made in run) for runs in (after, before))
    return one - other


def _spread(runs: Sequence[Sequence[Made]]) -> float:
    """How far the medians of runs are from theirs, by the median: a single run that is far away does not count."""
    medians = [median(one.seconds for one in run) for run in runs]
    return median(abs(one - median(medians)) for one in medians)


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
