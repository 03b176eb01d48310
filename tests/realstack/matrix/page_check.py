# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Whether a page of verdicts agrees with itself: its tables, and the reasons that are listed below them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_HEADING: Final = re.compile(r"^#{2,3} ", re.MULTILINE)
_REASON: Final = re.compile(r"^- \*\*(?P<subject>.+?)\*\*: (?P<reason>.+)$", re.MULTILINE)
_GREEN: Final = "green"
_VERDICTS: Final = (_GREEN, "red", "n/a")
# What may be wrong with a release beside the rows of its table.
_NO_ROW: Final = ("the run",)


@dataclass(frozen=True, slots=True)
class _Cell:
    row: str
    column: str
    text: str

    def is_meant_by(self, subject: str) -> bool:
        """Whether a reason is about it: by ``column, row``, or by the row where the columns are no releases."""
        return subject in (f"{self.column}, {self.row}", self.row)


def contradictions(page: str) -> list[str]:
    """What a reader cannot believe: a reason about green cells only, or about none; a red cell without a reason.

    Args:
        page: Markdown, with one table at least in a section whose list names reasons as ``- **25.15.12, row**: reason``
            or ``- **row**: reason``.
    """
    return [problem for section in _HEADING.split(page) for problem in _of_section(section)]


def _of_section(section: str) -> Iterator[str]:
    cells = [cell for cell in _cells(section.splitlines()) if cell.text in _VERDICTS]
    subjects = [found["subject"] for found in _REASON.finditer(section)]
    for subject in subjects:
        meant = [cell for cell in cells if cell.is_meant_by(subject)]
        if meant and all(cell.text == _GREEN for cell in meant):
            yield f"{subject}: green, with a reason"
        if not meant and not subject.endswith(_NO_ROW):
            yield f"{subject}: a reason for no cell"
    for cell in cells:
        if cell.text != _GREEN and not any(cell.is_meant_by(subject) for subject in subjects):
            yield f"{cell.column}, {cell.row}: {cell.text}, without a reason"


def _cells(lines: Sequence[str]) -> Iterator[_Cell]:
    columns: Sequence[str] = ()
    for line in lines:
        if not line.startswith("|"):
            columns = ()
            continue
        first, *others = (text.strip(" *") for text in line[1:].rstrip(" |").split("|"))
        columns = columns or others
        yield from (_Cell(first, column, text) for column, text in zip(columns, others, strict=False))
