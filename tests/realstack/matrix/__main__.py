# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``make test-releases``: every hop in released Backend.AI, release after release, as a matrix."""

import argparse
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tests.realstack.matrix.page import PAGE, write_section
from tests.realstack.matrix.report import HEADING, OTEL_HEADING, Column, markdown, reasons, terminal_table
from tests.realstack.matrix.trying import try_release
from tests.realstack.stack.settings import StackError, newest_releases, stack_of


def main() -> None:
    """Run the releases that the command line names, or the newest known of each family; exit 1 on red."""
    parser = argparse.ArgumentParser(prog="python -m tests.realstack.matrix")
    parser.add_argument("releases", nargs="*", help="versions or families [default: all]")
    parser.add_argument("--dir", default="", help="the stacks live below; by default in the user's cache")
    parser.add_argument("--page", type=Path, default=PAGE, help="file to write [default: docs/compatibility.md]")
    parser.add_argument("--keep", action="store_true", help="leave the last stack running")
    parser.add_argument("--otel", action="store_true", help="with Backend.AI's own [otel] section on")
    arguments = parser.parse_args()
    columns: list[Column] = []
    failures: list[str] = []
    console = Console()
    releases = arguments.releases or newest_releases()
    for release in releases:
        console.rule(f"Backend.AI {release}")
        try:
            stack = stack_of(release, str(Path(arguments.dir, release)) if arguments.dir else "")
            columns.append(try_release(stack, otel=arguments.otel, keep=arguments.keep and release == releases[-1]))
        except (StackError, subprocess.SubprocessError, OSError) as error:
            failures.append(f"{release}: {error}")
            console.print(failures[-1], markup=False)
    console.print(terminal_table(columns))
    for release, subject, sentences in reasons(columns):
        console.print(f"{release}, {subject}: {'; '.join(sentences)}", markup=False, highlight=False)
    for failure in failures:
        console.print(failure, markup=False, highlight=False)
    if columns:
        today = datetime.now(UTC).strftime("%Y-%m-%d")
        heading = OTEL_HEADING if arguments.otel else HEADING
        write_section(arguments.page, heading, markdown(columns, today, otel=arguments.otel))
    sys.exit(bool(failures) or not all(column.is_green for column in columns))


main()
