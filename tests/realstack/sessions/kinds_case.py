# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Sessions that are made in another way than by ``POST /session``, or that somebody restarts: one of each kind."""

from collections.abc import Mapping
from typing import Final

from tests.realstack.matrix.observation import Observation
from tests.realstack.sessions.cases import shared_problems
from tests.realstack.sessions.driving import drive_script, seen
from tests.realstack.sessions.judging import CREATION, figures_of, restart_figures, told_end, trace_problems
from tests.realstack.sessions.made import Made
from tests.realstack.sessions.outcome import TITLES, Outcome
from tests.realstack.stack.settings import Stack

_COMPONENTS: Final = ["manager", "agent"]
_ROWS: Final[Mapping[str, str]] = {
    "batch": "a batch job, until RUNNING",
    "template": "from a template, until RUNNING",
    "cluster": "by create-cluster, until RUNNING",
    "restart": "restarted, until RUNNING again",
}
# What a release answers to everybody, and why; its words are not ours to judge.
_REFUSED: Final[Mapping[str, str]] = {
    "cluster": "no template has the fields that the release reads",
    "restart": "the release has no restart",
}


def kinds(stack: Stack) -> Outcome:
    """A batch job, a session from a template, one by create-cluster, and a restart."""
    since, made = drive_script(stack, "drive_kinds.py", *_ROWS)
    came = [one for one in made if one.created and not one.refused]
    known = seen(stack, came, since)
    rows, problems = {}, []
    for one in made:
        rows[_ROWS[one.kind]], found = judged(one, known)
        problems += [f"{one.kind}: {problem}" for problem in found]
    problems += shared_problems(came, known)
    return Outcome(stack.release, TITLES["kinds"], rows, problems)


def judged(one: Made, known: Observation) -> tuple[str, list[str]]:
    """The cell of one kind, and what is wrong with it."""
    if one.refused:
        reason = _REFUSED.get(one.kind)
        return f"n/a ({reason}: {one.refused})", [] if reason else [f"refused: {one.refused}"]
    if one.failed:
        return "no session", list(one.failed)
    creation = figures_of(known.spans, one, CREATION)
    problems = trace_problems(creation, CREATION, _COMPONENTS)
    problems += [] if told_end(known.spans, one) else ["its end is not in the trace of the request that it belongs to"]
    figures = creation
    if one.restarted:
        figures = restart_figures(known.spans, one)
        problems += trace_problems(figures, "RUNNING again", _COMPONENTS)
    if figures is None:
        return "no trace", problems
    answered = f" (answered {one.answered})" if one.answered else ""
    return f"{figures.seconds:.2f} s, {figures.spans} spans, {figures.share:.1%}{answered}", problems
