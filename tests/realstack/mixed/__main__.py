# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``make test-mixed``: a release in which some components have the plugin and others have not."""

import argparse
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.realstack.matrix.driving import drive, drive_without
from tests.realstack.matrix.expectation_file import read_expectation
from tests.realstack.matrix.observation import Step
from tests.realstack.matrix.page import PAGE, write_part
from tests.realstack.matrix.reading import log_lines, observe
from tests.realstack.mixed.cases import CASES
from tests.realstack.mixed.complaints import new_complaints
from tests.realstack.mixed.report import HEADING, LEAD, Verdict, part
from tests.realstack.stack.control import clear, components, relaunch, start, stop
from tests.realstack.stack.settings import Stack, StackError, stack_of


def main() -> None:
    """Go through the cases with the release that the command line names; exit 1 on red."""
    parser = argparse.ArgumentParser(prog="python -m tests.realstack.mixed")
    parser.add_argument("release", nargs="?", default="26.9.6", help="a version or a family [default: 26.9.6]")
    parser.add_argument("--dir", default="", help="the stack lives below; by default in the user's cache")
    parser.add_argument("--page", type=Path, default=PAGE, help="file to write [default: docs/compatibility.md]")
    arguments = parser.parse_args()
    console = Console()
    try:
        stack = stack_of(arguments.release, str(Path(arguments.dir, arguments.release)) if arguments.dir else "")
        verdicts = _run(stack)
    except (StackError, subprocess.SubprocessError, OSError) as error:
        sys.exit(f"{arguments.release}: {error}")
    table = Table("the plugin on", arguments.release)
    for verdict in verdicts:
        table.add_row(escape(verdict.title), "[red]red[/]" if verdict.problems else "[green]green[/]")
    console.print(table)
    for verdict in verdicts:
        for problem in verdict.problems:
            console.print(f"{verdict.title}: {problem}", markup=False, highlight=False)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    write_part(arguments.page, HEADING, LEAD, arguments.release, part(verdicts, today))
    sys.exit(any(verdict.problems for verdict in verdicts))


def _run(stack: Stack) -> list[Verdict]:
    clear(stack)  # also of what a wheel before this one left running
    try:
        start(stack)
        expected = read_expectation(stack.family_directory / "hops.toml")
        names = components(stack)
        relaunch(stack, [])
        drive_without(stack)
        before = log_lines(stack.directory / "log")
        verdicts = []
        for case in CASES:
            if case.needs_native and not expected.native_rpc:
                continue
            relaunch(stack, case.plugged(names), case.variables)
            since = time.time()  # after what the components of the case before sent at their end
            steps: list[Step] = drive(stack)
            observation = observe(stack.desk_url, steps, since, stack.directory / "log")
            after = {name: observation.lines[name] for name in names}
            problems = [*case.problems(expected, observation, names), *new_complaints(before, after)]
            verdicts.append(Verdict(case.title, case.carried, problems))
        return verdicts
    finally:
        stop(stack)


main()
