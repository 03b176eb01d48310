# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``make bench-releases``: the same scenario in the same stack, without and with the plugin in every component.

The components are started anew for each run, in turns, and driven once before the run that counts; then the short
requests are repeated. The client runs without the plugin both times: what is compared is the cluster.
"""

import argparse
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tests.realstack.matrix.driving import drive_without
from tests.realstack.matrix.page import PAGE, write_part
from tests.realstack.pairs.figures import (
    HEADING,
    LEAD,
    Pairs,
    differences,
    figures,
    part,
    request_figures,
    table,
    too_slow,
)
from tests.realstack.stack.control import clear, components, relaunch, start, stop
from tests.realstack.stack.settings import Stack, StackError, stack_of

# Parts of the scenario (its STEPS) that need no session; a release without one of them goes on with the others.
_SHORT = "hello,web,vfolder"
_REPEATED = 10


def main() -> None:
    """Measure the releases that the command line names; exit 1 when the scenario goes otherwise or too slowly."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.realstack.pairs", description="What the plugin costs a cluster."
    )
    parser.add_argument("releases", nargs="*", default=["26.9.6", "23.9.10"], help="versions or families")
    parser.add_argument("--dir", default="", help="the stacks live below; by default in the user's cache")
    parser.add_argument(
        "--page", type=Path, default=PAGE, help="the page that holds the figures [default: %(default)s]"
    )
    parser.add_argument("--pairs", type=int, default=3, help="runs of each kind [default: 3]")
    arguments = parser.parse_args()
    console = Console()
    otherwise: list[str] = []
    for release in arguments.releases:
        console.rule(f"Backend.AI {release}")
        try:
            pairs = _measure(
                stack_of(release, str(Path(arguments.dir, release)) if arguments.dir else ""), arguments.pairs
            )
        except (StackError, subprocess.SubprocessError, OSError) as error:
            otherwise.append(f"{release}: {error}")
            continue
        console.print(table(f"{release}: medians of {arguments.pairs} runs", figures(pairs)))
        console.print(
            table(
                f"{release}: requests without a session, each {_REPEATED * arguments.pairs} times",
                request_figures(pairs),
            )
        )
        otherwise += [f"{release}: {sentence}" for sentence in (*differences(pairs), *too_slow(pairs))]
        today = datetime.now(UTC).date().isoformat()
        write_part(arguments.page, HEADING, LEAD, release, part(pairs, today))
    for sentence in otherwise:
        console.print(sentence, markup=False, highlight=False)
    sys.exit(bool(otherwise))


def _measure(stack: Stack, number: int) -> Pairs:
    clear(stack)  # also of what a wheel before this one left running
    pairs = Pairs(stack.release)
    try:
        start(stack)
        sides = [(pairs.without, []), (pairs.with_plugin, components(stack))]
        for turn in range(number):
            # In turns of which goes first: what warms up or fills up over time shall not favour one side.
            for runs, plugged in sides if turn % 2 == 0 else reversed(sides):
                relaunch(stack, plugged)
                drive_without(stack)
                runs.scenarios.append(drive_without(stack))
                runs.requests.extend(drive_without(stack, "--only", _SHORT, "--repeat", str(_REPEATED)))
        return pairs
    finally:
        stop(stack)


main()
