# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The matrix for a terminal and for docs/compatibility.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.markup import escape
from rich.table import Table

from tests.realstack.matrix.facts import Facts
from tests.realstack.matrix.judging import Cell
from tests.realstack.matrix.observation import Hop

_LEAD: Final = """
Written by `make test-releases` on {date}: released Backend.AI from PyPI as running clusters, the plugin
from a wheel of the tree in every component, requests under known request IDs, judged by what a receiver got
([how](../tests/realstack/README.md)). Green: spans, parents, request IDs and log lines of a hop were seen.
"""
_OTEL_LEAD: Final = """
Written by `make test-releases OTEL=1` on {date}: the hops and journeys above, judged in the same way, with Backend.AI's
own `[otel]` section on in every component of the releases that have one. One SERVER span per request is a part of them.
"""
HEADING: Final = "Hops and journeys"
OTEL_HEADING: Final = "With [otel] on"

PROCESSES: Final = "processes"
HOSTILE: Final = "hostile request ID"
LAST_SPANS: Final = "last spans"
OWN_OTEL: Final = "own [otel]"
# What is judged beside hops and journeys, and when it is green.
BESIDE: Final[Mapping[str, str]] = {
    PROCESSES: "`process.pid` and `service.instance.id` of a service are one to one in all spans and log records of\n"
    "  the run, and each worker that ran sent spans: both of manager and storage-proxy, forked or spawned, and others.",
    HOSTILE: "a signed request with bytes that are no text in `X-BackendAI-RequestID`, for which the manager calls\n"
    "  its agent, is answered in time under a minted ID, which response and spans of both have; the bytes are nowhere.",
    LAST_SPANS: "with export queues that wait ten minutes, the SERVER spans of what each component served last arrive\n"
    "  when it is told to end, by SIGTERM; all that is judged here came in this way, from workers that `os._exit` too.",
    OWN_OTEL: "the section is on in every component, whose log says neither that a TracerProvider is overridden nor\n"
    "  that something is instrumented already, and nothing arrives at the endpoint of the section, all of it at ours.",
}


@dataclass(frozen=True, slots=True)
class Column:
    """What came out for one release.

    Attributes:
        facts: Versions.
        cells: The hops.
        problems: Of the run itself.
        journeys: By their titles.
        beside: What is no border that a request crosses, by its title in ``BESIDE``.
    """

    facts: Facts
    cells: Mapping[Hop, Cell]
    problems: Sequence[str] = field(default=())
    journeys: Mapping[str, Cell] = field(default_factory=dict)
    beside: Mapping[str, Cell] = field(default_factory=dict)

    @property
    def is_green(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems and not any(cell.problems for _subject, cell in self.verdicts)

    @property
    def verdicts(self) -> list[tuple[str, Cell]]:
        """All rows with their verdicts."""
        hops = [(str(hop), cell) for hop, cell in self.cells.items()]
        return [*hops, *self.journeys.items(), *self.beside.items()]


def cell_text(cell: Cell | None) -> str:
    """A verdict in one word."""
    if cell is None:
        return "not run"
    if cell.not_applicable:
        return "n/a"
    return "red" if cell.problems else "green"


def reasons(columns: Sequence[Column]) -> list[tuple[str, str, list[str]]]:
    """Release, subject and sentences for everything that is not green."""
    found = []
    for column in columns:
        if column.problems:
            found.append((column.facts.release, "the run", list(column.problems)))
        for subject, cell in column.verdicts:
            if cell.problems or cell.not_applicable:
                found.append((column.facts.release, subject, list(cell.problems) or [cell.not_applicable]))
    return found


def terminal_table(columns: Sequence[Column]) -> Table:
    """The matrix with colours."""
    table = Table("", *(column.facts.release for column in columns))
    for hop in Hop:
        _coloured(table, str(hop), [cell_text(column.cells.get(hop)) for column in columns])
    table.add_section()
    for title in _journeys(columns):
        _coloured(table, title, [cell_text(column.journeys.get(title)) for column in columns])
    table.add_section()
    for title in _beside(columns):
        _coloured(table, title, [cell_text(column.beside.get(title)) for column in columns])
    return table


def markdown(columns: Sequence[Column], date: str, *, otel: bool = False) -> str:
    """The section of the page: versions, matrix, journeys, reasons.

    Args:
        columns: One per release, in the order in which they are shown.
        date: Of the run, as a reader writes it.
        otel: Whether Backend.AI's own ``[otel]`` section was on.
    """
    releases = [column.facts.release for column in columns]
    lines = [
        *((_OTEL_LEAD if otel else _LEAD).format(date=date).strip().splitlines()),
        "",
        _row("", releases),
        _row("---", ["---"] * len(columns)),
        _row("Python", [column.facts.python for column in columns]),
        _row("OpenTelemetry", [column.facts.opentelemetry for column in columns]),
        *(_row(str(hop), [cell_text(column.cells.get(hop)) for column in columns]) for hop in Hop),
        "",
        "Journeys, each inside one span of the client. Green: one trace, one request ID on every span, log record and",
        "log line, through all components up to the user's program, and nothing of ours in what that program gets.",
        "",
        _row("", releases),
        _row("---", ["---"] * len(columns)),
        *(_row(title, [cell_text(column.journeys.get(title)) for column in columns]) for title in _journeys(columns)),
        "",
        "Beside hops and journeys, and green when:",
        "",
        *(f"- {title}: {BESIDE[title]}" for title in _beside(columns)),
        "",
        _row("", releases),
        _row("---", ["---"] * len(columns)),
        *(_row(title, [cell_text(column.beside.get(title)) for column in columns]) for title in _beside(columns)),
        "",
    ]
    for release, subject, sentences in reasons(columns):
        lines += [f"- **{release}, {subject}**: {'; '.join(sentences)}"]
    return "\n".join(lines).rstrip("\n") + "\n"


def _journeys(columns: Sequence[Column]) -> list[str]:
    return list(dict.fromkeys(title for column in columns for title in column.journeys))


def _beside(columns: Sequence[Column]) -> list[str]:
    return [title for title in BESIDE if any(title in column.beside for column in columns)]


def _coloured(table: Table, subject: str, texts: Sequence[str]) -> None:
    table.add_row(escape(subject), *(f"[{text}]{text}[/]" if text in ("red", "green") else text for text in texts))


def _row(first: str, others: Sequence[str]) -> str:
    return f"| {' | '.join([first, *others])} |"
