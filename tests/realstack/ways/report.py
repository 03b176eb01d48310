# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The ways in as a section of docs/compatibility.md, one part per release."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HEADING: Final = "Ways in"
LEAD: Final = """
One cluster for each way, in which every component is started by it ([how](../tests/realstack/README.md)). Hops: all
nine and both journeys of the matrix above are green. Tokens: upload, download and app start by a client without the
plugin are one trace each, with the request that made their token. Started: every component by this way and no other,
the storage-proxy's spawned workers included; after `otel-backendai disable` and a restart a component sends nothing.
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out for one way in.

    Attributes:
        name: On the command line.
        title: What an operator does.
        hops: What is wrong with hops and journeys.
        tokens: What is wrong with the traces of tokens.
        started: What is wrong with how the cluster came to run under the plugin.
    """

    name: str
    title: str
    hops: Sequence[str] = ()
    tokens: Sequence[str] = ()
    started: Sequence[str] = ()

    @property
    def problems(self) -> list[str]:
        """All of it."""
        return [*self.started, *self.hops, *self.tokens]


def part(verdicts: Sequence[Verdict], date: str) -> str:
    """The text of one release's part.

    Args:
        verdicts: In the order in which they are shown.
        date: Of the run, as a reader writes it.
    """
    lines = [
        f"Written by `make test-ways` on {date}.",
        "",
        "| | hops | tokens | started | |",
        "| --- | --- | --- | --- | --- |",
        *(_row(one) for one in verdicts),
        "",
        *(f"- **{one.name}**: {'; '.join(one.problems)}" for one in verdicts if one.problems),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _row(one: Verdict) -> str:
    cells = (_cell(problems) for problems in (one.hops, one.tokens, one.started))
    return f"| {' | '.join([one.name, *cells, one.title])} |"


def _cell(problems: Sequence[str]) -> str:
    return "red" if problems else "green"
