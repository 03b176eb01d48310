# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Starts the stack of a release, drives it, stops its components, and says what came out."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tests.realstack.matrix import last_spans, own_otel
from tests.realstack.matrix.driving import drive
from tests.realstack.matrix.expectation_file import read_expectation
from tests.realstack.matrix.facts import facts_of
from tests.realstack.matrix.hostile import Answer, hostile_problems, send
from tests.realstack.matrix.judging import Cell, judge, judge_journeys
from tests.realstack.matrix.judging_processes import process_problems
from tests.realstack.matrix.last_spans import Asked
from tests.realstack.matrix.observation import Expectation, Observation, Step
from tests.realstack.matrix.reading import observe
from tests.realstack.matrix.report import HOSTILE, LAST_SPANS, OWN_OTEL, PROCESSES, Column
from tests.realstack.matrix.senders import Sender, receiving
from tests.realstack.stack.control import clear, components, install, resume, start, stop
from tests.realstack.stack.processes import has_two_processors, workers
from tests.realstack.stack.settings import Stack


@dataclass(frozen=True, slots=True)
class _Run:
    """What was done, and what is known of it."""

    steps: Sequence[Step]
    answer: Answer
    asked: Sequence[Asked]
    before: Collection[Asked]
    after: Collection[Asked]
    workers: dict[str, frozenset[int]]
    senders: Collection[Sender]
    observation: Observation


def try_release(stack: Stack, *, otel: bool, keep: bool) -> Column:
    """Start everything anew, drive it, and judge it.

    Args:
        stack: Of the release.
        otel: Whether Backend.AI's own ``[otel]`` section is to be on; a release without one is not started.
        keep: Whether it is left running.

    Raises:
        StackError: Something does not start.
    """
    clear(stack)  # also of what a wheel before this one left running
    expected = read_expectation(stack.family_directory / "hops.toml")
    if otel and expected.no_otel:
        install(stack)
        return Column(facts_of(stack), {}, beside={OWN_OTEL: Cell(not_applicable=expected.no_otel)})
    several = {"manager": 2, "storage": 2} if has_two_processors() else {}
    more = {f"REALSTACK_{name.upper()}_PROCS": str(count) for name, count in several.items()}
    more |= own_otel.VARIABLES if otel else {}
    try:
        run = _run(stack, expected, more)
        seen = run.observation
        beside = {
            PROCESSES: process_problems(run.senders, run.workers, several),
            HOSTILE: hostile_problems(run.answer, seen),
            LAST_SPANS: last_spans.last_span_problems(expected.log_records, run.asked, run.before, run.after),
        }
        if otel:
            names = expected.log_records
            on, sent = own_otel.switched_on(stack, names), own_otel.sent(stack)
            beside[OWN_OTEL] = own_otel.otel_problems(on, names, seen.lines, sent)
        failed = [f"{step.title}: {step.error}" for step in run.steps if step.error]
        cells = {title: Cell(tuple(problems)) for title, problems in beside.items()}
        if keep:
            resume(stack, more)
        return Column(facts_of(stack), judge(expected, seen), failed, judge_journeys(expected, seen), cells)
    finally:
        if not keep:
            stop(stack)


def _run(stack: Stack, expected: Expectation, more: dict[str, str]) -> _Run:
    """Drive the stack, and stop its components: most of what is known of the run they send when they end."""
    with receiving() as (url, senders):
        start(stack, {"REALSTACK_DESK_OPTIONS": f"--forward {url}", **last_spans.VARIABLES, **more})
        since = time.time()
        answer = send(stack)
        steps = drive(stack)
        # An agent is not asked by HTTP, but by the manager.
        asked = [*last_spans.ask_every_worker(stack), *(Asked("agent", name) for name in send(stack).request_ids)]
        running = workers(stack, expected.log_records)
        until = time.time()
        before = last_spans.arrived(stack.desk_url, asked)
        stop(stack, *components(stack))
        after = last_spans.arrived(stack.desk_url, asked)
        observation = observe(stack.desk_url, steps, since, stack.directory / "log", until)
    return _Run(steps, answer, asked, before, after, running, list(senders.seen), observation)
