# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The figures of the runs as tables."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tools.scale_out.harmed import Harm
from tools.scale_out.load import Load
from tools.scale_out.unharmed import Outcome


def show_unharmed(outcome: Outcome, spans: int, console: Console) -> None:
    """Print the checks of the unharmed run and what it cost."""
    table = Table(title=f"Unharmed: {spans:,} spans in {outcome.seconds:.0f} s", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("promise")
    table.add_column("")
    table.add_column("seen")
    for check in outcome.checks:
        table.add_row(check.promise, "[green]ok[/]" if check.kept else "[red]BROKEN[/]", check.seen)
    console.print(table)
    _show_loads(outcome.loads, console)


def show_harmed(harm: Harm, console: Console) -> None:
    """Print what became of the spans of the harmed run."""
    title = f"One of two gateways killed under load, back after {harm.down:.1f} s"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("")
    table.add_column("traces", justify="right")
    table.add_column("spans", justify="right")
    table.add_row("sent", f"{harm.traces:,}", f"{harm.spans:,}")
    table.add_row("arrived whole", f"{harm.whole:,}", "")
    table.add_row("arrived in parts", f"{harm.parts:,}", "")
    table.add_row("lost", f"{harm.lost:,}", f"{harm.spans_lost:,}")
    table.add_row("  of these not of the killed gateway", f"{harm.harmed_elsewhere:,}", "")
    console.print(table)
    rate = harm.spans / harm.seconds
    console.print(f"  {rate:,.0f} spans/s; lost are those of a gateway in {2 * harm.spans_lost / rate:.1f} s")
    console.print(f"  node to gateway: at most {harm.usual_delay:.1f} s before the kill")
    console.print(f"  as steady again {harm.steady_after:.1f} s after the gateway was back")
    console.print(f"  refused by nodes: {harm.refusals}; received twice: {harm.repeated}")
    console.print(f"  Jaeger has the same spans of {harm.agreed} of {harm.asked} traces that it was asked for")
    _show_loads(harm.loads, console)


def _show_loads(loads: Sequence[Load], console: Console) -> None:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("process")
    table.add_column("peak MiB", justify="right")
    table.add_column("CPU µs/span", justify="right")
    for load in loads:
        table.add_row(load.name, f"{load.peak_bytes / 2**20:.0f}", f"{load.cpu_micros_per_span:.0f}")
    console.print(table)
