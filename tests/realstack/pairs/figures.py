# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Times of the same scenario without and with the plugin, as medians and their ratio."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from rich.table import Table

from tests.realstack.matrix.observation import Step
from tests.realstack.pairs.notes import note_differences

Steps = Sequence[Step]

# How many times as long the scenario may take with the plugin.
LIMIT: Final = 1.1

HEADING: Final = "Cost"
LEAD: Final = """
The same scenario in the same stack, without the plugin and with it in every component, in turns, the components started
anew for each run ([how](../tests/realstack/README.md)). The whole scenario may take 1.1 times as long.
"""


@dataclass(frozen=True, slots=True)
class Runs:
    """What one side of a comparison did.

    Attributes:
        scenarios: Whole runs of the scenario.
        requests: The steps of the scenario that are short and need no session, many times over.
    """

    scenarios: list[Steps] = field(default_factory=list)
    requests: list[Step] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Pairs:
    """The runs of one release."""

    release: str
    without: Runs = field(default_factory=Runs)
    with_plugin: Runs = field(default_factory=Runs)


@dataclass(frozen=True, slots=True)
class Figure:
    """A time in seconds, as a median over runs without and with the plugin."""

    what: str
    without: float
    with_plugin: float

    @property
    def ratio(self) -> float:
        """How many times as long it takes with the plugin; 1 when there is nothing to compare."""
        return self.with_plugin / self.without if self.without else 1.0


def figures(pairs: Pairs) -> list[Figure]:
    """The whole scenario, its parts that are requests, those that wait for a scheduler, and the repeated requests."""
    return [
        _of_scenarios("whole scenario", pairs, lambda step: True),
        _of_scenarios("steps that wait for a scheduler", pairs, lambda step: step.waits),
        _of_scenarios("steps that are requests", pairs, lambda step: not step.waits),
        Figure(
            "requests without a session, repeated",
            sum(figure.without for figure in request_figures(pairs)),
            sum(figure.with_plugin for figure in request_figures(pairs)),
        ),
    ]


def request_figures(pairs: Pairs) -> list[Figure]:
    """Each repeated request by itself, in the order of the scenario."""

    def middle(runs: Runs, title: str) -> float:
        return median([step.seconds for step in runs.requests if step.title == title] or [0.0])

    titles = dict.fromkeys(step.title for runs in (pairs.without, pairs.with_plugin) for step in runs.requests)
    return [Figure(title, middle(pairs.without, title), middle(pairs.with_plugin, title)) for title in titles]


def differences(pairs: Pairs) -> list[str]:
    """What went otherwise with the plugin than without: steps that failed or one side lacks, and notes."""
    sides = (("without", pairs.without), ("with", pairs.with_plugin))
    found = [
        f"{step.title} fails {how} the plugin: {step.error}"
        for how, runs in sides
        for steps in [*runs.scenarios, runs.requests]
        for step in steps
        if step.error
    ]
    ways = {tuple(step.title for step in steps) for _how, runs in sides for steps in runs.scenarios}
    if len(ways) > 1:
        found.append("the runs did not go through the same steps")
    without, with_plugin = ([step for steps in [*runs.scenarios, runs.requests] for step in steps] for _, runs in sides)
    return list(dict.fromkeys([*found, *note_differences(without, with_plugin)]))


def too_slow(pairs: Pairs) -> list[str]:
    """Whether the whole scenario takes longer than it may; a single step says little on a machine that others use."""
    whole = figures(pairs)[0]
    if whole.ratio <= LIMIT:
        return []
    return [f"the {whole.what} takes {whole.ratio:.2f} times as long with the plugin, at most {LIMIT} is allowed"]


def part(pairs: Pairs, date: str) -> str:
    """The figures of one release as a part of docs/compatibility.md."""
    rows = [
        f"| {row.what} | {row.without * 1000:.0f} ms | {row.with_plugin * 1000:.0f} ms | {row.ratio:.2f} |"
        for row in figures(pairs)
    ]
    lead = f"Written by `make bench-releases` on {date}: medians of {len(pairs.without.scenarios)} runs of each kind."
    return "\n".join([lead, "", "| | without | with the plugin | ratio |", "| --- | --- | --- | --- |", *rows]) + "\n"


def table(title: str, rows: Sequence[Figure]) -> Table:
    """Milliseconds and ratios for a terminal."""
    made = Table("", "without, ms", "with, ms", "ratio", title=title)
    for row in rows:
        made.add_row(row.what, f"{row.without * 1000:.1f}", f"{row.with_plugin * 1000:.1f}", f"{row.ratio:.2f}")
    return made


def _of_scenarios(what: str, pairs: Pairs, wanted: Callable[[Step], bool]) -> Figure:
    def middle(runs: Runs) -> float:
        return median(sum(step.seconds for step in steps if wanted(step)) for steps in runs.scenarios)

    return Figure(what, middle(pairs.without), middle(pairs.with_plugin))
