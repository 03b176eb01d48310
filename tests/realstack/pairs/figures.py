# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Times of the same scenario without and with the plugin, as medians and their ratio."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from rich.table import Table

from tests.realstack.matrix.observation import Step

Steps = Sequence[Step]


@dataclass(frozen=True, slots=True)
class Pairs:
    """The runs of one release. Both hold the same number of runs, in the order in which they were made."""

    release: str
    without: Sequence[Steps]
    with_plugin: Sequence[Steps]


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
    """The whole scenario, its parts that are requests, and those that wait for a scheduler."""
    return [
        _figure(pairs, "whole scenario", lambda step: True),
        _figure(pairs, "steps that are requests", lambda step: not step.waits),
        _figure(pairs, "steps that wait for a scheduler", lambda step: step.waits),
    ]


def step_figures(pairs: Pairs) -> list[Figure]:
    """Each step by itself, in the order of the scenario."""
    titles = dict.fromkeys(step.title for run in [*pairs.without, *pairs.with_plugin] for step in run)
    return [_figure(pairs, title, partial(_is_titled, title)) for title in titles]


def differences(pairs: Pairs) -> list[str]:
    """What went otherwise with the plugin than without: steps that failed, or that one side alone went through."""
    found = [
        f"{step.title} fails {how} the plugin: {step.error}"
        for how, runs in (("without", pairs.without), ("with", pairs.with_plugin))
        for run in runs
        for step in run
        if step.error
    ]
    ways = {tuple(step.title for step in run) for run in [*pairs.without, *pairs.with_plugin]}
    if len(ways) > 1:
        found.append("the runs did not go through the same steps")
    return list(dict.fromkeys(found))


def table(title: str, rows: Sequence[Figure]) -> Table:
    """Milliseconds and ratios for a terminal."""
    made = Table("", "without, ms", "with, ms", "ratio", title=title)
    for row in rows:
        made.add_row(row.what, f"{row.without * 1000:.0f}", f"{row.with_plugin * 1000:.0f}", f"{row.ratio:.2f}")
    return made


def _is_titled(title: str, step: Step) -> bool:
    return step.title == title


def _figure(pairs: Pairs, what: str, wanted: Callable[[Step], bool]) -> Figure:
    def middle(runs: Sequence[Steps]) -> float:
        return median(sum(step.seconds for step in run if wanted(step)) for run in runs)

    return Figure(what, middle(pairs.without), middle(pairs.with_plugin))
