# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``make test-deferred``: what comes back with a token, and what runs in the background, on released Backend.AI."""

import argparse
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tests.realstack import background_traces, token_traces
from tests.realstack.deferred.journeys import absent, task_outcomes, token_outcomes
from tests.realstack.deferred.report import HEADING, section, sentences, terminal_table
from tests.realstack.matrix.page import PAGE, write_section
from tests.realstack.matrix.reading import observe
from tests.realstack.sessions.outcome import Outcome, read_outcomes, write_outcomes
from tests.realstack.stack.control import clear, start, stop
from tests.realstack.stack.settings import Stack, StackError, newest_releases, stack_of


def main() -> None:
    """Run the releases that the command line names, or the newest known of each family; exit 1 on red."""
    parser = argparse.ArgumentParser(prog="python -m tests.realstack.deferred")
    parser.add_argument("releases", nargs="*", help="versions or families [default: all]")
    parser.add_argument("--dir", default="", help="the stacks live below; by default in the user's cache")
    parser.add_argument("--page", type=Path, default=PAGE, help="file to write [default: docs/compatibility.md]")
    parser.add_argument("--outcomes", type=Path, help="file that keeps outcomes; those of earlier runs are shown, too")
    arguments = parser.parse_args()
    # The second visit with a token comes to a worker that may be another one than the first came to.
    os.environ.setdefault("REALSTACK_STORAGE_PROCS", "2")
    console = Console()
    outcomes: list[Outcome] = []
    for release in arguments.releases or newest_releases():
        console.rule(f"Backend.AI {release}")
        outcomes += _run(stack_of(release, str(Path(arguments.dir, release)) if arguments.dir else ""))
    red = any(one.problems for one in outcomes)
    if arguments.outcomes:
        # A release is run as a whole: nothing is left of an earlier run of it, above all no start that failed.
        again = {one.release for one in outcomes}
        outcomes = [*(one for one in read_outcomes(arguments.outcomes) if one.release not in again), *outcomes]
        write_outcomes(arguments.outcomes, outcomes)
    console.print(terminal_table(outcomes))
    for sentence in sentences(outcomes):
        console.print(": ".join(sentence), markup=False, highlight=False)
    write_section(arguments.page, HEADING, section(outcomes, datetime.now(UTC).strftime("%Y-%m-%d")))
    sys.exit(red)


def _run(stack: Stack) -> list[Outcome]:
    clear(stack)  # also of what a wheel before this one left running
    try:
        start(stack)
        since = time.time() - 1
        visits = token_traces.drive(stack)
        steps = background_traces.drive(stack, with_service=not absent(stack.release, "service"))
        spans = observe(stack.desk_url, steps, since, stack.directory / "log").spans
        return [*token_outcomes(stack.release, visits, spans), *task_outcomes(stack.release, steps, spans)]
    except (StackError, subprocess.SubprocessError, OSError) as error:
        return [Outcome(stack.release, "start", problems=[str(error)])]
    finally:
        stop(stack)


main()
