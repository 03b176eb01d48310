# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The outcomes as a table and as a section of docs/compatibility.md."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from tests.realstack.sessions.outcome import TITLES, Outcome, newest_first

_NOT_RUN = "-"
_KNOWN = frozenset(TITLES.values())


def terminal_table(outcomes: Sequence[Outcome]) -> Table:
    """The table with colours."""
    releases = newest_first(outcomes)
    table = Table("", *releases)
    for case in _cases(outcomes):
        verdicts = [_verdict(_of(outcomes, release, case)) for release in releases]
        table.add_row(escape(case), *(f"[{text}]{text}[/]" if text != _NOT_RUN else text for text in verdicts))
        for row in _rows(outcomes, case):
            table.add_row(f"  {escape(row)}", *(escape(_cell(outcomes, release, case, row)) for release in releases))
    return table


def section(outcomes: Sequence[Outcome], date: str) -> str:
    """The text of the section.

    Args:
        outcomes: Of all releases and cases that were run.
        date: Of the run, as a reader writes it.
    """
    releases = newest_first(outcomes)
    lines = [
        f"Written by `make test-sessions` on {date}: sessions from `POST /session` to RUNNING and from their `DELETE`",
        "to TERMINATED, each request under a known ID ([how](../tests/realstack/README.md)). Covered: the part of that",
        "time in which a span other than the request's own runs; in brackets, without the spans of statuses. A plain",
        "creation calls no app-proxy in any release; its spans are those of an app's start under the same request.",
        "",
        _line("", releases),
        _line("---", ["---"] * len(releases)),
    ]
    for case in _cases(outcomes):
        lines.append(_line(f"**{case}**", [_verdict(_of(outcomes, release, case)) for release in releases]))
        for row in _rows(outcomes, case):
            lines.append(_line(row, [_cell(outcomes, release, case, row) for release in releases]))
    lines.append("")
    for one in outcomes:
        if one.problems:
            lines.append(f"- **{one.release}, {one.case}**: {'; '.join(one.problems)}")
    return "\n".join(lines).rstrip("\n") + "\n"


def _cases(outcomes: Sequence[Outcome]) -> list[str]:
    found = dict.fromkeys(one.case for one in outcomes)
    return [title for title in TITLES.values() if title in found] + [case for case in found if case not in _KNOWN]


def _rows(outcomes: Sequence[Outcome], case: str) -> list[str]:
    return list(dict.fromkeys(row for one in outcomes if one.case == case for row in one.rows))


def _of(outcomes: Sequence[Outcome], release: str, case: str) -> Outcome | None:
    return next((one for one in outcomes if (one.release, one.case) == (release, case)), None)


def _verdict(outcome: Outcome | None) -> str:
    return _NOT_RUN if outcome is None else outcome.verdict


def _cell(outcomes: Sequence[Outcome], release: str, case: str, row: str) -> str:
    outcome = _of(outcomes, release, case)
    return _NOT_RUN if outcome is None else outcome.rows.get(row, _NOT_RUN)


def _line(first: str, others: Sequence[str]) -> str:
    return f"| {' | '.join([first, *others])} |"
