# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""docs/compatibility.md: a page of sections, each written by a command of its own."""

from pathlib import Path
from typing import Final

from tests.realstack.stack.settings import ROOT

PAGE: Final = ROOT / "docs" / "compatibility.md"
_TITLE: Final = "# Compatibility"
_HEADING: Final = "\n## "


def write_section(path: Path, heading: str, text: str) -> None:
    """Replace the section with that heading in a page, or append it; the others stay as they are."""
    page = path.read_text() if path.exists() else ""
    path.write_text(with_section(page or _TITLE + "\n", heading, text))


def with_section(page: str, heading: str, text: str) -> str:
    """The page with that section replaced or appended; what stands before its first section is kept.

    Args:
        page: Markdown; ``## `` at the start of a line begins a section.
        heading: Of the section, without the marks.
        text: What the section holds, below its heading.
    """
    first, *sections = page.rstrip("\n").split(_HEADING)
    named = {section.partition("\n")[0]: section for section in sections}
    named[heading] = f"{heading}\n\n{text.strip()}\n"
    return _HEADING.join([first.rstrip("\n") + "\n", *(section.rstrip("\n") + "\n" for section in named.values())])
