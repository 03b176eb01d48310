# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``make test-ways``: the ways into released Backend.AI, each with a cluster of its own."""

import argparse
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.realstack.matrix.page import PAGE, write_part
from tests.realstack.stack.control import clear, install, stop
from tests.realstack.stack.settings import StackError, newest_releases, stack_of
from tests.realstack.ways.report import HEADING, LEAD, Verdict, part
from tests.realstack.ways.trying import try_way
from tests.realstack.ways.way import WAYS


def main() -> None:
    """Run the releases that the command line names, or the newest known of each family; exit 1 on red."""
    parser = argparse.ArgumentParser(prog="python -m tests.realstack.ways")
    parser.add_argument("releases", nargs="*", help="versions or families [default: all]")
    parser.add_argument("--dir", default="", help="the stacks live below; by default in the user's cache")
    parser.add_argument("--page", type=Path, default=PAGE, help="file to write [default: docs/compatibility.md]")
    parser.add_argument("--only", nargs="+", choices=list(WAYS), default=list(WAYS), help="ways in [default: all]")
    arguments = parser.parse_args()
    console = Console()
    table = Table("", "way in", "")
    red = False
    for release in arguments.releases or newest_releases():
        console.rule(f"Backend.AI {release}")
        verdicts = _run(release, arguments.dir, arguments.only, console)
        for one in verdicts:
            table.add_row(release, one.name, "[red]red[/]" if one.problems else "[green]green[/]")
        red = red or any(one.problems for one in verdicts)
        write_part(arguments.page, HEADING, LEAD, release, part(verdicts, datetime.now(UTC).strftime("%Y-%m-%d")))
    console.print(table)
    sys.exit(red)


def _run(release: str, directory: str, names: list[str], console: Console) -> list[Verdict]:
    """A way in which the stack does not start is red, and the others are tried nevertheless."""
    stack = stack_of(release, str(Path(directory, release)) if directory else "")
    clear(stack)  # also of what a wheel before this one left running
    verdicts = []
    try:
        install(stack)
        for name in (name for name in WAYS if name in names):
            console.print(f"{release}: {name}", markup=False, highlight=False)
            try:
                verdicts.append(try_way(stack, name, WAYS[name]))
            except (StackError, subprocess.SubprocessError, OSError) as error:
                verdicts.append(Verdict(name, WAYS[name].title, started=[str(error)]))
            for problem in verdicts[-1].problems:
                console.print(f"{release}, {name}: {problem}", markup=False, highlight=False)
    except (StackError, subprocess.SubprocessError, OSError) as error:
        verdicts.append(Verdict("start", "no way", started=[str(error)]))
        console.print(f"{release}: {error}", markup=False, highlight=False)
    finally:
        stop(stack)
    return verdicts


main()
