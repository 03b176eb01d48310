# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Starts the stack of a release, drives it, and says what came out."""

import time
from typing import Final
from uuid import uuid4

from tests.realstack.matrix.driving import drive
from tests.realstack.matrix.expectation_file import read_expectation
from tests.realstack.matrix.facts import facts_of
from tests.realstack.matrix.hostile import hostile_problems, send
from tests.realstack.matrix.judging import Cell, judge, judge_journeys
from tests.realstack.matrix.judging_processes import process_problems
from tests.realstack.matrix.own_otel import VARIABLES, forget_sent, otel_problems, sent, switched_on
from tests.realstack.matrix.reading import observe
from tests.realstack.matrix.report import HOSTILE, OWN_OTEL, PROCESSES, Column
from tests.realstack.matrix.senders import receiving
from tests.realstack.stack.asking import addresses, ask
from tests.realstack.stack.control import install, start, stop
from tests.realstack.stack.processes import has_two_processors, workers
from tests.realstack.stack.settings import Stack

_PATH: Final = "/otel-backendai-asks"
# The system gives each new connection to one of the processes that listen: all of so many to one of two is no chance.
_TIMES: Final = 20


def try_release(stack: Stack, *, otel: bool, keep: bool) -> Column:
    """Start everything anew, drive it, and judge it.

    Args:
        stack: Of the release.
        otel: Whether Backend.AI's own ``[otel]`` section is to be on; a release without one is not started.
        keep: Whether it is left running.

    Raises:
        StackError: Something does not start.
    """
    stop(stack)  # what a wheel before this one left running
    expectation = read_expectation(stack.family_directory / "hops.toml")
    if otel and expectation.no_otel:
        install(stack)
        return Column(facts_of(stack), {}, beside={OWN_OTEL: Cell(not_applicable=expectation.no_otel)})
    several = {"manager": 2, "storage": 2} if has_two_processors() else {}
    try:
        with receiving() as (url, senders):
            forget_sent(stack)
            more = VARIABLES if otel else {}
            start(stack, {"REALSTACK_DESK_OPTIONS": f"--forward {url}", **_variables(several), **more})
            since = time.time()
            answer = send(stack)
            steps = drive(stack)
            _ask_every_worker(stack)
            running = workers(stack, expectation.log_records)
            observation = observe(stack.desk_url, steps, since, stack.directory / "log")
        failed = [f"{step.title}: {step.error}" for step in steps if step.error]
        beside = {
            PROCESSES: Cell(tuple(process_problems(list(senders.seen), running, several))),
            HOSTILE: Cell(tuple(hostile_problems(answer, observation))),
        }
        if otel:
            components = expectation.log_records
            problems = otel_problems(switched_on(stack, components), components, observation.lines, sent(stack))
            beside[OWN_OTEL] = Cell(tuple(problems))
        return Column(
            facts_of(stack), judge(expectation, observation), failed, judge_journeys(expectation, observation), beside
        )
    finally:
        if not keep:
            stop(stack)


def _variables(several: dict[str, int]) -> dict[str, str]:
    return {f"REALSTACK_{component.upper()}_PROCS": str(count) for component, count in several.items()}


def _ask_every_worker(stack: Stack) -> None:
    for _component, url in addresses(stack):
        for _ in range(_TIMES):
            ask(url + _PATH, uuid4().hex)
