# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""docs/compatibility.md: a page of sections, each written by a command of its own."""

from pathlib import Path
from typing import Final

from tests.realstack.stack.settings import ROOT

PAGE: Final = ROOT / "docs" / "compatibility.md"
_TITLE: Final = "# Compatibility"
_HEADING: Final = "\n## "
_PART: Final = "\n### "


def write_section(path: Path, heading: str, text: str) -> None:
    """Replace the section with that heading in a page, or append it; the others stay as they are."""
    path.write_text(with_section(_read(path), heading, text))


def write_part(path: Path, heading: str, lead: str, name: str, text: str) -> None:
    """The same for one part of a section, which gets ``lead`` before its first part."""
    path.write_text(with_part(_read(path), heading, lead, name, text))


def with_section(page: str, heading: str, text: str) -> str:
    """The page with that section replaced or appended; what stands before its first section is kept.

    Args:
        page: Markdown; ``## `` at the start of a line begins a section.
        heading: Of the section, without the marks.
        text: What the section holds, below its heading.
    """
    return _with_block(page, _HEADING, heading, text)


def with_part(page: str, heading: str, lead: str, name: str, text: str) -> str:
    """The page with one part of a section replaced or appended; the section's other parts are kept.

    Args:
        page: Markdown; ``### `` at the start of a line begins a part of a section.
        heading: Of the section, without the marks.
        lead: What stands before the first part, in the place of what stood there.
        name: The part's heading.
        text: What the part holds, below its heading.
    """
    sections = dict(section.split("\n", 1) for section in f"{page}\n".split(_HEADING)[1:])
    _, mark, parts = sections.get(heading, "").partition(_PART)
    return with_section(page, heading, _with_block(f"{lead.rstrip()}\n{mark}{parts}", _PART, name, text))


def _read(path: Path) -> str:
    return (path.read_text() if path.exists() else "") or _TITLE + "\n"


def _with_block(text: str, mark: str, heading: str, body: str) -> str:
    first, *blocks = text.rstrip("\n").split(mark)
    named = {block.partition("\n")[0]: block for block in blocks}
    named[heading] = f"{heading}\n\n{body.strip()}\n"
    return mark.join([first.rstrip("\n") + "\n", *(block.rstrip("\n") + "\n" for block in named.values())])
