# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The scale-out configuration at work: ``python -m tools.scale_out BINARIES [--spans N] [--rate N] ...``.

Two node Collectors, two gateways and a Jaeger, first unharmed, then with a gateway that is killed under load. The exit
status is 1 when the unharmed run broke a promise, or the killed gateway harmed traces of the other.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tools.scale_out.harmed import run_harmed
from tools.scale_out.report import show_harmed, show_unharmed
from tools.scale_out.traffic import SPANS_PER_TRACE
from tools.scale_out.unharmed import run_unharmed


def main() -> int:
    """Run both, print the figures; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.scale_out", description=__doc__.splitlines()[0])
    parser.add_argument("binaries", type=Path, help="directory with jaeger and otelcol, as backends/build.sh prints it")
    parser.add_argument("--spans", type=int, default=200_000, help="spans of each run [default: 200000]")
    parser.add_argument("--rate", type=float, default=10_000, help="spans per second [default: 10000]")
    parser.add_argument("--kill-after", type=float, default=5, metavar="SECONDS", help="[default: 5]")
    parser.add_argument("--down-for", type=float, default=5, metavar="SECONDS", help="[default: 5]")
    arguments = parser.parse_args()
    # A SIGTERM ends the processes of the run too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    traces = arguments.spans // SPANS_PER_TRACE
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as directory:
        outcome = run_unharmed(arguments.binaries, Path(directory), traces=traces, spans_per_second=arguments.rate)
        show_unharmed(outcome, traces * SPANS_PER_TRACE, console)
        harm = run_harmed(
            arguments.binaries,
            Path(directory),
            traces=traces,
            spans_per_second=arguments.rate,
            kill_after=arguments.kill_after,
            down_for=arguments.down_for,
        )
        show_harmed(harm, console)
    return int(not all(check.kept for check in outcome.checks) or harm.harmed_elsewhere > 0)


if __name__ == "__main__":
    sys.exit(main())
