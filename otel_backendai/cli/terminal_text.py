# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Text of other processes (span names, log lines, errors) for a terminal: harmless, and of a known width."""

import unicodedata

_ELLIPSIS = "…"


def printable(text: str) -> str:
    """``text`` with a blank for what would move the cursor, colour the screen or reorder the line."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def width(text: str) -> int:
    """How many cells printable ``text`` takes: Korean letters take two, combining marks none."""
    return len(text) if text.isascii() else sum(map(_char_width, text))


def fit(text: str, cells: int) -> str:
    """Printable ``text`` cut with an ellipsis, or filled with blanks, to exactly ``cells`` cells."""
    taken = width(text)
    if taken <= cells:
        return text + " " * (cells - taken)
    if cells < 1:
        return ""
    kept, taken = [], 0
    for char in text:
        taken += _char_width(char)
        if taken > cells - 1:
            break
        kept.append(char)
    shown = "".join(kept) + _ELLIPSIS
    return shown + " " * (cells - width(shown))


def _char_width(char: str) -> int:
    # Marks without a combining class, too: the variation selectors of emoji, the vowels of Thai and Hindi.
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
