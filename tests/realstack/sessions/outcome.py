# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What came out of a case on a release, and how earlier outcomes are kept beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

# What the cases are called in the table, by their names on the command line.
TITLES: Final[Mapping[str, str]] = {
    "one": "one session",
    "ten": "ten sessions at once",
    "kinds": "other kinds of sessions",
    "idle": "an idle stack",
    "killed": "manager killed before RUNNING",
    "workers": "two manager workers",
    "redis": "Redis slow or refusing",
    "alone": "without the plugin",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case on one release.

    Attributes:
        release: The release.
        case: Its title.
        rows: What is shown of it: a cell for each row of the table, by the row's title.
        problems: What is wrong; nothing when it is green.
        absent: Why the release or its stack does not have it; "" when it was run.
    """

    release: str
    case: str
    rows: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[str] = ()
    absent: str = ""

    @property
    def verdict(self) -> str:
        """In one word."""
        return "n/a" if self.absent else "red" if self.problems else "green"


def newest_first(outcomes: Sequence[Outcome]) -> list[str]:
    """The releases that they are of."""
    found = {one.release for one in outcomes}
    return sorted(found, key=lambda release: [int(part) for part in release.split(".")], reverse=True)


def merged(earlier: Sequence[Outcome], later: Sequence[Outcome]) -> list[Outcome]:
    """All of them, the later ones in the place of the same case on the same release."""
    found = {(one.release, one.case): one for one in [*earlier, *later]}
    return list(found.values())


def read_outcomes(path: Path) -> list[Outcome]:
    """What :func:`write_outcomes` wrote; nothing if there is no such file."""
    return [Outcome(**one) for one in json.loads(path.read_text())] if path.exists() else []


def write_outcomes(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Keep outcomes for a run that adds to them."""
    path.write_text(json.dumps([asdict(one) for one in outcomes], indent=1))
