# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A trace as the rows of a tree: spans below their parents, log lines below their spans, a row per missing parent.

Made for traces as they come: spans of any depth, parents that never arrived, spans that are their own ancestors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from otel_backendai.desk.model import LogLine, Span

_BRANCH, _LAST_BRANCH = "├─ ", "└─ "
_LINE, _BLANK = "│  ", "   "
# Deeper spans say how deep they are instead of moving further to the right: nothing of their text would be left.
_DEEPEST_GUIDE = 12


@dataclass(frozen=True, slots=True)
class MissingParent:
    """A span that others name as their parent and that is not there."""

    span_id: str
    start_us: int


Item = Span | LogLine | MissingParent


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the tree.

    Args:
        item: What stands in it.
        guide: The lines that lead to it.
        below: The lines in front of further text about it.
        depth: 0 for a root.
        is_loop: The span is its own ancestor and was put at the top.
    """

    item: Item
    guide: str
    below: str
    depth: int
    is_loop: bool = False


def start_us(item: Item) -> int:
    """When it began, in microseconds: Jaeger keeps no more, and both sources must give the same tree."""
    if isinstance(item, Span):
        return item.start_ns // 1000
    return item.start_us if isinstance(item, MissingParent) else item.time_ns // 1000


def duration_us(span: Span) -> int:
    """How long it took, in microseconds; never negative."""
    return max(0, span.end_ns - span.start_ns) // 1000


def missing_parents(spans: Sequence[Span]) -> dict[str, list[Span]]:
    """The children of each parent that is not there, by the parent's ID. ``spans`` are all of one trace."""
    known = {span.span_id for span in spans}
    missing: dict[str, list[Span]] = {}
    for span in spans:
        if span.parent_span_id and span.parent_span_id not in known:
            missing.setdefault(span.parent_span_id, []).append(span)
    return missing


def tree_rows(spans: Sequence[Span], logs: Sequence[LogLine]) -> Iterator[Row]:
    """The rows of one trace, every span and every log line exactly once, from top to bottom."""
    below: dict[str, list[Item]] = {}
    tops: list[Item] = [
        MissingParent(span_id, min(map(start_us, orphans))) for span_id, orphans in missing_parents(spans).items()
    ]
    places = {span.span_id for span in spans} | {top.span_id for top in tops if isinstance(top, MissingParent)}
    for span in spans:
        (below.setdefault(span.parent_span_id, []) if span.parent_span_id else tops).append(span)
    for line in logs:
        (below.setdefault(line.span_id, []) if line.span_id in places else tops).append(line)
    walked: set[int] = set()
    yield from _walk(sorted(tops, key=_order), below, walked)
    # What no root leads to is below itself.
    loops = sorted((item for items in below.values() for item in items if isinstance(item, Span)), key=_order)
    for span in loops:
        if id(span) not in walked:
            yield from _walk([span], below, walked, is_loop=True)


def _walk(tops: list[Item], below: dict[str, list[Item]], walked: set[int], *, is_loop: bool = False) -> Iterator[Row]:
    # A stack instead of recursion: a trace may be deeper than Python's own.
    open_rows = [Row(top, "", "", 0, is_loop) for top in reversed(tops)]
    while open_rows:
        row = open_rows.pop()
        if id(row.item) in walked:
            continue
        walked.add(id(row.item))
        items: list[Item] = []
        if not isinstance(row.item, LogLine):
            # Taken out, so that of two spans with one ID only the first has the children.
            items = [item for item in below.pop(row.item.span_id, ()) if id(item) not in walked]
        items.sort(key=_order)
        yield Row(row.item, row.guide, row.below + (_LINE if items else _BLANK), row.depth, row.is_loop)
        for number, item in enumerate(reversed(items)):
            branch, line = (_BRANCH, _LINE) if number else (_LAST_BRANCH, _BLANK)
            is_deep = row.depth >= _DEEPEST_GUIDE
            indent = row.below[: -len(_BLANK)] if is_deep else row.below
            guide = f"{indent}{branch}[{row.depth + 1}] " if is_deep else indent + branch
            open_rows.append(Row(item, guide, indent + line, row.depth + 1))


def _order(item: Item) -> tuple[int, bool, str, str, str]:
    if isinstance(item, Span):
        return start_us(item), True, item.service, item.name, item.span_id
    return start_us(item), False, "", "", item.span_id
