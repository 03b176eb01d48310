# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The command line: ``python -m bench [--quick] [--json] [--otlp [own|official]]``."""

import argparse
import asyncio
import json
import subprocess
import sys

from bench import report
from bench.fleet import ROOT, Memory, Sample, run_fleet
from bench.scenarios import NOWHERE, OFFICIAL, OWN


def main() -> None:
    """Run the benchmark and print its result."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="What the plugin costs per request.")
    parser.add_argument("--quick", action="store_true", help="half a minute: fewer and shorter rounds")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument(
        "--otlp",
        nargs="?",
        choices=(OWN, OFFICIAL),
        const=OWN,
        default=NOWHERE,
        help="export by OTLP/HTTP to a local sink: each by its own exporter, or both by the official one",
    )
    arguments = parser.parse_args()
    steps = _steps()
    samples, readings = asyncio.run(_fleets(quick=arguments.quick, exporter=arguments.otlp))
    if arguments.json:
        json.dump(report.as_json(samples, readings, steps, arguments.otlp), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        report.show(samples, readings, steps, arguments.otlp)


async def _fleets(*, quick: bool, exporter: str) -> tuple[list[Sample], list[Memory]]:
    # New processes now and then: hash seeds and memory layout make one process up to a tenth faster than its twin.
    samples: list[Sample] = []
    readings: list[Memory] = []
    fleets, rounds, block, warm_up = (2, 4, 800, 500) if quick else (4, 6, 2000, 1000)
    for number in range(fleets):
        sys.stderr.write(f"processes {number + 1} of {fleets}: {rounds} rounds\n")
        more_samples, more_readings = await run_fleet(rounds=rounds, block=block, warm_up=warm_up, exporter=exporter)
        samples += more_samples
        readings += more_readings
    return samples, readings


def _steps() -> dict[str, float]:
    # In a process of its own: the plugin must not be part of the one that makes the load.
    sys.stderr.write("single steps\n")
    done = subprocess.run(
        [sys.executable, "-m", "bench.micro"], cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=120
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
