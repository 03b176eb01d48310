# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""From samples to the numbers that are shown: medians over rounds, and what each kind of tracing adds to nothing."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.fleet import Memory, Sample
from bench.scenarios import EXPORTERS, NOTHING, OURS, SCENARIOS, STOCK, VARIANTS


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, minimum and maximum over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Return the spread of ``values``, of which there is at least one."""
        kept = list(values)
        return cls(statistics.median(kept), min(kept), max(kept))


def cpu(samples: Sequence[Sample]) -> dict[str, dict[str, Spread]]:
    """Return per scenario the CPU microseconds per request: of each variant, what two of them add, and their ratio.

    What a variant adds is a difference within one round, so that a slow minute of the machine cancels out.
    """
    found = {}
    for scenario in SCENARIOS:
        of = {v: [s.micros for s in samples if (s.scenario, s.variant) == (scenario.name, v)] for v in VARIANTS}
        stock_adds = [stock - nothing for stock, nothing in zip(of[STOCK], of[NOTHING], strict=True)]
        ours_adds = [ours - nothing for ours, nothing in zip(of[OURS], of[NOTHING], strict=True)]
        row = {variant: Spread.of(values) for variant, values in of.items()}
        row["stock adds"] = Spread.of(stock_adds)
        row["ours adds"] = Spread.of(ours_adds)
        row["ours / stock"] = Spread.of(ours / stock for ours, stock in zip(ours_adds, stock_adds, strict=True))
        found[scenario.name] = row
    return found


def memory(readings: Sequence[Memory]) -> dict[str, dict[str, float]]:
    """Return per variant the median over the fleets, in bytes."""
    found = {}
    for variant in VARIANTS:
        of = [reading for reading in readings if reading.variant == variant]
        found[variant] = {
            "start": statistics.median(reading.start for reading in of),
            "end": statistics.median(reading.end for reading in of),
            "requests": statistics.median(reading.requests for reading in of),
            "growth_per_10k_requests": statistics.median(reading.growth_per_10k for reading in of),
        }
    return found


def missing_spans(samples: Sequence[Sample]) -> dict[str, int]:
    """Return per variant how many spans were not exported."""
    return {v: sum(sample.missing_spans for sample in samples if sample.variant == v) for v in VARIANTS}


def as_json(
    samples: Sequence[Sample], readings: Sequence[Memory], steps: Mapping[str, float], exporter: str
) -> dict[str, object]:
    """Return everything that :func:`show` shows, and the samples behind it."""
    return {
        "exporter": EXPORTERS[exporter],
        "cpu_microseconds_per_request": {
            scenario: {name: asdict(spread) for name, spread in row.items()} for scenario, row in cpu(samples).items()
        },
        "memory_bytes": memory(readings),
        "missing_spans": missing_spans(samples),
        "nanoseconds_per_step": dict(steps),
        "samples": [asdict(sample) for sample in samples],
    }


def show(samples: Sequence[Sample], readings: Sequence[Memory], steps: Mapping[str, float], exporter: str) -> None:
    """Print the three tables.

    Args:
        samples: CPU.
        readings: Memory.
        steps: Nanoseconds by name.
        exporter: A key of :data:`bench.scenarios.EXPORTERS`.
    """
    console = Console(width=132, highlight=False)
    rounds = len(samples) // len(SCENARIOS) // len(VARIANTS)
    table = _table(f"CPU of the server process, µs per request: median of {rounds} rounds (min-max)")
    for name in ("", *VARIANTS, "stock adds", "ours adds", "ours / stock"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for scenario, row in cpu(samples).items():
        table.add_row(scenario, *(_spread(spread, 2 if "/" in name else 0) for name, spread in row.items()))
    console.print(table)
    console.print(f"Exporter: {EXPORTERS[exporter]}.")

    table = _table("Memory of the server process, MiB resident")
    for name in ("", "at start", "at the end", "requests", "growth per 10,000 requests"):
        table.add_column(name, justify="right" if name else "left")
    for variant, resident in memory(readings).items():
        mebibytes = (f"{resident[name] / 2**20:.1f}" for name in ("start", "end"))
        growth = f"{resident['growth_per_10k_requests'] / 2**20:.2f}"
        table.add_row(variant, *mebibytes, f"{resident['requests']:,.0f}", growth)
    console.print(table)
    for variant, count in missing_spans(samples).items():
        if count:
            console.print(f"{variant}: {count:,} spans were dropped by a full queue; the run was too fast for it")

    table = _table("Single steps")
    table.add_column("")
    table.add_column("ns per call", justify="right")
    for name, nanoseconds in steps.items():
        table.add_row(name, f"{nanoseconds:,.0f}")
    console.print(table)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)


def _spread(spread: Spread, digits: int) -> str:
    return f"{spread.median:.{digits}f} ({spread.low:.{digits}f}-{spread.high:.{digits}f})"
