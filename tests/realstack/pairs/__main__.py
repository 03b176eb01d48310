# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``make bench-releases``: the same scenario in the same stack, without and with the plugin in every component.

The components are started anew for each run, in turns, and driven once before the run that counts. The client runs
without the plugin both times: what is compared is the cluster.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from tests.realstack.matrix.driving import drive_without
from tests.realstack.matrix.observation import Step
from tests.realstack.pairs.figures import Pairs, differences, figures, step_figures, table
from tests.realstack.stack.control import components, relaunch, start, stop
from tests.realstack.stack.settings import Stack, StackError, stack_of


def main() -> None:
    """Measure the releases that the command line names; exit 1 when the scenario goes otherwise with the plugin."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.realstack.pairs", description="What the plugin costs a cluster."
    )
    parser.add_argument("releases", nargs="*", default=["26.9.6", "23.9.10"], help="versions or families")
    parser.add_argument("--dir", default="", help="the stacks live below; by default in the user's cache")
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
        console.print(table(f"{release}: step by step", step_figures(pairs)))
        otherwise += [f"{release}: {difference}" for difference in differences(pairs)]
    for sentence in otherwise:
        console.print(sentence, markup=False, highlight=False)
    sys.exit(bool(otherwise))


def _measure(stack: Stack, number: int) -> Pairs:
    stop(stack)  # what a wheel before this one left running
    try:
        start(stack)
        everything = components(stack)
        without: list[list[Step]] = []
        with_plugin: list[list[Step]] = []
        for turn in range(number):
            # In turns of which goes first: what warms up or fills up over time shall not favour one side.
            sides = [(without, []), (with_plugin, everything)]
            for runs, plugged in sides if turn % 2 == 0 else reversed(sides):
                relaunch(stack, plugged)
                drive_without(stack)
                runs.append(drive_without(stack))
        return Pairs(stack.release, without, with_plugin)
    finally:
        stop(stack)


main()
