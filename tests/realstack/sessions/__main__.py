# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``make test-sessions``: sessions on released Backend.AI, and what their traces explain."""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from redis.exceptions import RedisError
from rich.console import Console

from tests.realstack.matrix.page import PAGE, write_section
from tests.realstack.sessions import cases, idle_case, kinds_case, restarted_cases
from tests.realstack.sessions.cases import Case
from tests.realstack.sessions.outcome import TITLES, Outcome, merged, read_outcomes, write_outcomes
from tests.realstack.sessions.report import section, terminal_table
from tests.realstack.stack.control import clear, start, stop
from tests.realstack.stack.settings import Stack, StackError, newest_releases, stack_of

CASES: Mapping[str, Case] = {
    "kinds": kinds_case.kinds,
    **cases.CASES,
    "idle": idle_case.idle,
    "redis": restarted_cases.bad_redis,
    "alone": restarted_cases.release_alone,
}


def main() -> None:
    """Run the releases that the command line names, or the newest known of each family; exit 1 on red."""
    parser = argparse.ArgumentParser(prog="python -m tests.realstack.sessions")
    parser.add_argument("releases", nargs="*", help="versions or families [default: all]")
    parser.add_argument("--dir", default="", help="the stacks live below; by default in the user's cache")
    parser.add_argument("--page", type=Path, default=PAGE, help="file to write [default: docs/compatibility.md]")
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), help="cases [default: all]")
    parser.add_argument("--outcomes", type=Path, help="file that keeps outcomes; those of earlier runs are shown, too")
    arguments = parser.parse_args()
    console = Console()
    outcomes: list[Outcome] = []
    for release in arguments.releases or newest_releases():
        console.rule(f"Backend.AI {release}")
        stack = stack_of(release, str(Path(arguments.dir, release)) if arguments.dir else "")
        outcomes += _run(stack, arguments.only, console)
    red = any(one.problems for one in outcomes)
    if arguments.outcomes:
        outcomes = merged(read_outcomes(arguments.outcomes), outcomes)
        write_outcomes(arguments.outcomes, outcomes)
    console.print(terminal_table(outcomes))
    for one in outcomes:
        for problem in one.problems:
            console.print(f"{one.release}, {one.case}: {problem}", markup=False, highlight=False)
    write_section(arguments.page, "Sessions", section(outcomes, datetime.now(UTC).strftime("%Y-%m-%d")))
    sys.exit(red)


def _run(stack: Stack, only: Sequence[str], console: Console) -> list[Outcome]:
    """Every case that does not come to its end is red, and the others are run nevertheless."""
    outcomes: list[Outcome] = []
    clear(stack)  # also of what a wheel before this one left running
    try:
        start(stack)
        for name in (name for name in CASES if name in only):
            console.print(f"{stack.release}: {name}", markup=False, highlight=False)
            try:
                outcomes.append(CASES[name](stack))
            except (StackError, subprocess.SubprocessError, OSError, RedisError) as error:
                outcomes.append(Outcome(stack.release, TITLES[name], problems=[str(error)]))
    except (StackError, subprocess.SubprocessError, OSError) as error:
        outcomes.append(Outcome(stack.release, "start", problems=[str(error)]))
    finally:
        stop(stack)
    return outcomes


main()
