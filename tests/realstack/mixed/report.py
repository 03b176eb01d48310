# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Mixed clusters as a section of docs/compatibility.md, one part per release."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HEADING: Final = "Mixed clusters"
LEAD: Final = """
Green: the scenario passes, what can be carried is, and no component complains in its log of what it does not complain
of in a cluster without the plugin ([how](../tests/realstack/README.md)).
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out for one case: ``carried`` is what has to arrive, in words."""

    title: str
    carried: str
    problems: Sequence[str] = ()


def part(verdicts: Sequence[Verdict], date: str) -> str:
    """The text of one release's part.

    Args:
        verdicts: In the order in which they are shown.
        date: Of the run, as a reader writes it.
    """
    lines = [
        f"Written by `make test-mixed` on {date}.",
        "",
        "| the plugin on | | what is carried |",
        "| --- | --- | --- |",
        *(f"| {one.title} | {'red' if one.problems else 'green'} | {one.carried} |" for one in verdicts),
        "",
        *(f"- **{one.title}**: {'; '.join(one.problems)}" for one in verdicts if one.problems),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"
