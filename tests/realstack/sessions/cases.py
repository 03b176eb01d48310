# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What sessions go through on a stack that runs: each case drives, looks, and says what came out."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from tests.realstack.matrix.observation import Observation, component_of
from tests.realstack.matrix.sentences import some
from tests.realstack.sessions.coverage import Coverage
from tests.realstack.sessions.driving import drive_and_observe, restart_of
from tests.realstack.sessions.judging import (
    CREATION,
    END,
    figures_of,
    strange_spans,
    trace_problems,
)
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
from tests.realstack.sessions.outcome import TITLES, Outcome
from tests.realstack.sessions.processes import is_split
from tests.realstack.sessions.status_judging import poll_problems, status_problems
from tests.realstack.stack.control import components, relaunch
from tests.realstack.stack.settings import Stack

_TOGETHER = 10
# Sessions at once, and how often, until one of them is created by one worker and scheduled by the other.
_SPLIT_COUNT = 4
_SPLIT_ROUNDS = 4

# The part of a trace that every release has, and what the app's start adds to it.
_ALWAYS = ["manager", "agent"]
# Seconds between two exports: what a process that is killed has not sent yet.
_UNSENT = 1.0
_PROXIES = ("proxy-coordinator", "proxy-worker")


def one_session(stack: Stack) -> Outcome:
    """A session to RUNNING, an app of it where a release has an app-proxy, and its end."""
    proxies = [name for name in components(stack) if name in _PROXIES]
    made, seen = drive_and_observe(stack, *(["--app"] if proxies else []))
    (one,) = made
    problems = [f"the app's start failed: {step}" for step in one.failed]
    creation, end = figures_of(seen.spans, one, CREATION), figures_of(seen.spans, one, END)
    problems += trace_problems(creation, CREATION, [*_ALWAYS, *proxies])
    problems += trace_problems(end, END, _ALWAYS)
    problems += _problems(made, seen)
    about, nameless = lines_about(seen.lines["agent"], one), nameless_lines(seen.lines["agent"], one)
    rows = {
        "until RUNNING": _time(creation),
        "covered": _share(creation),
        "statuses": ", ".join(creation.statuses) if creation else "",
        "components": ", ".join(creation.components) if creation else "",
        "until TERMINATED": _time(end),
        "covered until then": _share(end),
        "lines of the agent about it, with its ID": f"{len(about) - len(nameless)} of {len(about)}",
    }
    return Outcome(stack.release, TITLES["one"], rows, problems)


def together(stack: Stack) -> Outcome:
    """Ten sessions of ten requests at once: those that do not fit wait until others have ended."""
    made, seen = drive_and_observe(stack, "--count", str(_TOGETHER))
    problems = _problems(made, seen)
    problems += some(
        f"{one.session}: {problem}"
        for one in made
        for status in (CREATION, END)
        for problem in trace_problems(figures_of(seen.spans, one, status), status, _ALWAYS)
    )
    rows = {
        "traces": str(sum(figures.traces for figures in _all_figures(made, seen, CREATION))),
        "least covered until RUNNING": _least(_all_figures(made, seen, CREATION)),
        "least covered until TERMINATED": _least(_all_figures(made, seen, END)),
    }
    return Outcome(stack.release, TITLES["ten"], rows, problems)


def killed(stack: Stack) -> Outcome:
    """The manager is killed and started again right after the creation was answered; what it had not sent is lost."""
    made, seen = drive_and_observe(stack, "--interlude", restart_of(stack, "manager"))
    (one,) = made
    creation = figures_of(seen.spans, one, CREATION, killed=True)
    end = figures_of(seen.spans, one, END)
    problems = [
        *trace_problems(creation, CREATION, _ALWAYS, _UNSENT),
        *trace_problems(end, END, _ALWAYS),
        *_problems(made, seen, killed=True),
    ]
    rows = {"until RUNNING, killed": _time(creation), "covered, killed": _share(creation)}
    return Outcome(stack.release, TITLES["killed"], rows, problems)


def two_workers(stack: Stack) -> Outcome:
    """Two worker processes of the manager, until one creates a session whose kernels the other asks an agent for."""
    relaunch(stack, components(stack), {"REALSTACK_MANAGER_PROCS": "2"})
    problems: list[str] = []
    total, split = 0, 0
    for _ in range(_SPLIT_ROUNDS):
        made, seen = drive_and_observe(stack, "--count", str(_SPLIT_COUNT))
        total += len(made)
        split += sum(is_split(seen.spans, one) for one in made)
        problems += _problems(made, seen)
        problems += some(
            f"{one.session}: {problem}"
            for one in made
            for status in (CREATION, END)
            for problem in trace_problems(figures_of(seen.spans, one, status), status, _ALWAYS)
        )
        if split:
            break
    if not split:
        problems.append(f"none of {total} sessions was created by one worker and scheduled by the other")
    rows = {"created by one, scheduled by the other": f"{split} of {total}"}
    return Outcome(stack.release, TITLES["workers"], rows, problems)


def _problems(made: Sequence[Made], seen: Observation, *, killed: bool = False) -> list[str]:
    """What no session may have that is made, runs and is ended: also statuses that it was not in."""
    statuses = some(
        f"{one.session}: {problem}"
        for one in made
        for problem in (*status_problems(seen.spans, one, killed=killed), *poll_problems(seen.spans, one))
    )
    return [*shared_problems(made, seen), *statuses]


def shared_problems(made: Sequence[Made], seen: Observation) -> list[str]:
    """What no session may have, whatever it goes through.

    Spans and lines of another, lines of the agent of nobody or none at all.
    """
    records = [record for record in seen.logs if component_of(record) == "agent"]
    shared = shared_work(seen.lines["agent"], records, made)
    nameless = some(line[:200] for one in made for line in nameless_lines(seen.lines["agent"], one, shared))
    unnamed = some(text[:200] for one in made for text in nameless_records(records, one, shared))
    silent = some(problem for one in made for problem in silent_about(seen.lines["agent"], records, one))
    return [
        *strange_spans(seen.spans, made),
        *strange_lines(seen.lines, made),
        *swapped_lines(seen.lines, made),
        *silent,
        *(f"a line of the agent without the ID: {line}" for line in nameless),
        *(f"a record of the agent without the ID: {text}" for text in unnamed),
    ]


def _all_figures(made: Sequence[Made], seen: Observation, status: str) -> list[Coverage]:
    return [figures for one in made if (figures := figures_of(seen.spans, one, status)) is not None]


def _least(figures: Sequence[Coverage]) -> str:
    shares = [one.share for one in figures]
    return f"{min(shares):.1%} (median {median(shares):.1%})" if shares else "no trace"


def _time(figures: Coverage | None) -> str:
    return f"{figures.seconds:.2f} s, {figures.spans} spans" if figures else "no trace"


def _share(figures: Coverage | None) -> str:
    return f"{figures.share:.1%} ({figures.without_statuses:.1%})" if figures else "no trace"


Case = Callable[[Stack], Outcome]
# In this order: the later ones start components anew.
CASES: Mapping[str, Case] = {
    "one": one_session,
    "ten": together,
    "killed": killed,
    "workers": two_workers,
}
