# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The outcomes as a table and as a section of docs/compatibility.md."""

from collections.abc import Sequence
from typing import Final

from rich.markup import escape
from rich.table import Table

from tests.realstack.deferred.journeys import TITLES
from tests.realstack.sessions.outcome import Outcome, newest_first

HEADING: Final = "Tokens and background tasks"
_NOT_RUN: Final = "-"
_COLOURED: Final = ("green", "red")


def terminal_table(outcomes: Sequence[Outcome]) -> Table:
    """The table with colours."""
    releases = newest_first(outcomes)
    table = Table("", *releases)
    for title, verdicts in _rows(outcomes, releases):
        table.add_row(escape(title), *(f"[{text}]{text}[/]" if text in _COLOURED else text for text in verdicts))
    return table


def sentences(outcomes: Sequence[Outcome]) -> list[tuple[str, str, str]]:
    """Release, row and reason for everything that is not green."""
    return [
        (one.release, one.case, one.absent or "; ".join(one.problems)) for one in outcomes if one.absent or one.problems
    ]


def section(outcomes: Sequence[Outcome], date: str) -> str:
    """The text of the section.

    Args:
        outcomes: Of all releases that were run.
        date: Of the run, as a reader writes it.
    """
    releases = newest_first(outcomes)
    lines = [
        f"Written by `make test-deferred` on {date}, two workers in the storage-proxy",
        "([how](../tests/realstack/README.md)). Green: who comes back with a token that a request made, and the",
        "background tasks, events and replicas that one left behind, are in that request's one trace, under its ID,",
        "in all components.",
        "",
        _line("", releases),
        _line("---", ["---"] * len(releases)),
        *(_line(title, verdicts) for title, verdicts in _rows(outcomes, releases)),
        "",
        *(f"- **{release}, {title}**: {reason}" for release, title, reason in sentences(outcomes)),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _rows(outcomes: Sequence[Outcome], releases: Sequence[str]) -> list[tuple[str, list[str]]]:
    verdicts = {(one.release, one.case): one.verdict for one in outcomes}
    cases = {case for _, case in verdicts}
    titles = [*(title for title in TITLES if title in cases), *sorted(cases.difference(TITLES))]
    return [(title, [verdicts.get((release, title), _NOT_RUN) for release in releases]) for title in titles]


def _line(first: str, others: Sequence[str]) -> str:
    return f"| {' | '.join([first, *others])} |"
