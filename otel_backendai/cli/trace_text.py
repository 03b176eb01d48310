# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""An answer as lines for a terminal: per trace a tree with a time axis, then the components that were reached or not.

Lines are made one by one, ten thousand of them must not be in memory at once. No markup language is involved: what
other processes wrote is only ever text.
"""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click

from otel_backendai.cli.terminal_text import fit, printable, width
from otel_backendai.cli.trace_components import Components
from otel_backendai.cli.trace_source import Answer
from otel_backendai.cli.trace_statuses import Waits
from otel_backendai.cli.trace_tree import MissingParent, Row, duration_us, missing_parents, start_us, tree_rows
from otel_backendai.desk.model import LogLine, Span

_DURATION_WIDTH = len("12345.6 ms")
_LEAST_BAR, _MOST_BAR = 10, 40
_LEAST_LABEL = 20
_LONGEST_ERROR = 500
_GAP = "  "
_SEVERITY_COLOURS = {"WARN": "yellow", "ERROR": "red", "FATAL": "red"}

Part = tuple[str, dict[str, Any]]
_PLAIN: dict[str, Any] = {}
_BOLD: dict[str, Any] = {"bold": True}
_FAINT: dict[str, Any] = {"dim": True}
_BAD: dict[str, Any] = {"fg": "red", "bold": True}
_WAIT: dict[str, Any] = {"fg": "yellow"}


@dataclass(frozen=True, slots=True)
class Axis:
    """From when to when the bars of a trace reach."""

    start_us: int
    length_us: int
    cells: int

    def bar(self, span: Span, *, is_open: bool = False) -> str:
        """The place of ``span`` on the axis; at least one cell. One that ``is_open`` goes on, paler, to the end."""
        scale = self.cells / max(1, self.length_us)
        first = min(int((start_us(span) - self.start_us) * scale), self.cells - 1)
        bar = " " * first + "█" * max(1, min(round(duration_us(span) * scale), self.cells - first))
        return bar.ljust(self.cells, "░") if is_open else bar


class TraceText:
    """Makes lines of ``columns`` cells, with escape sequences only when ``colour``.

    ``now_ns`` is when a session still waits that did not get on, nanoseconds since the epoch.
    """

    def __init__(self, columns: int, *, colour: bool, now_ns: int = 0) -> None:
        self._columns = columns
        self._colour = colour
        self._now = now_ns
        self._bar = max(_LEAST_BAR, min(_MOST_BAR, columns // 4))
        self._label = max(_LEAST_LABEL, columns - self._bar - _DURATION_WIDTH - 2 * len(_GAP))

    def answer(self, answer: Answer, components: Components) -> Iterator[str]:
        """All lines about an answer."""
        shown = {spans[0].trace_id for spans in answer.traces}
        logs: dict[str, list[LogLine]] = {}
        for line in answer.logs:
            logs.setdefault(line.trace_id if line.trace_id in shown else "", []).append(line)
        if "" in logs:
            yield self._line([("log lines outside of these traces", _FAINT)])
            for line in sorted(logs[""], key=lambda line: line.time_ns):
                yield self._line([(_GAP, _PLAIN), (f"{printable(line.service)}  ", _BOLD), *_log_parts(line)])
            yield ""
        waits = Waits(answer.traces, self._now)
        for spans in answer.traces:
            yield from self._trace(spans, logs.get(spans[0].trace_id, ()), waits)
            yield ""
        for title, names in components.lists():
            yield self._painted([(f"{title}: ", _FAINT), (printable(", ".join(names)) or "none", _PLAIN)])

    def arrival(self, item: Span | LogLine) -> str:
        """One line about a span or a log line that has just arrived."""
        time = _clock(start_us(item))
        if isinstance(item, LogLine):
            return self._line([(f"{time}  ", _FAINT), (f"{printable(item.service)}  ", _BOLD), *_log_parts(item)])
        failure, status = error_text(item), Waits((), 0).text(item)
        parts: list[Part] = [(f"{time}  ", _FAINT), *_span_parts(item), (f"  {_duration(duration_us(item))}", _PLAIN)]
        parts += [(f"  {told}", style) for told, style in ((failure, _BAD), (status, _WAIT)) if told]
        return self._painted(parts)

    def _trace(self, spans: Sequence[Span], logs: Sequence[LogLine], waits: Waits) -> Iterator[str]:
        first = min(map(start_us, spans))
        last = max(max(start_us(span) + duration_us(span), waits.end_ns(span) // 1000) for span in spans)
        axis = Axis(first, last - first, self._bar)
        failed = sum(span.status == "error" for span in spans)
        gaps = len(missing_parents(spans))
        facts = [f"{len(spans)} span{'s' if len(spans) > 1 else ''}", _date(first)]
        facts += [f"{gaps} gap{'s' if gaps > 1 else ''}"] if gaps else []
        facts += [f"{failed} failed"] if failed else []
        yield self._painted(
            [("trace ", _FAINT), (printable(spans[0].trace_id), _BOLD), (f"  {', '.join(facts)}", _FAINT)]
        )
        end = _duration(axis.length_us)
        yield self._painted(
            [
                (" " * (self._label + len(_GAP) + _DURATION_WIDTH + len(_GAP)), _PLAIN),
                ("0" + end.rjust(self._bar - 1), _FAINT),
            ]
        )
        for row in tree_rows(spans, logs):
            yield from self._row(row, axis, waits)

    def _row(self, row: Row, axis: Axis, waits: Waits) -> Iterator[str]:
        guide: Part = (row.guide, _FAINT)
        if isinstance(row.item, LogLine):
            yield self._line([guide, *_log_parts(row.item)])
        elif isinstance(row.item, MissingParent):
            yield self._line([guide, (f"parent missing: span {printable(row.item.span_id)} never arrived", _BAD)])
        else:
            span = row.item
            loop: Part = ("  is its own ancestor" if row.is_loop else "", _BAD)
            style = _BAD if span.status == "error" else {"fg": "cyan"}
            columns = self._fitted([guide, *_span_parts(span), loop], self._label)
            columns.append((f"{_GAP}{_duration(duration_us(span)):>{_DURATION_WIDTH}}{_GAP}", _PLAIN))
            yield self._painted([*columns, (axis.bar(span, is_open=waits.is_open(span)), style)])
            for told, style in ((error_text(span), _BAD), (waits.text(span), _WAIT)):
                if told:
                    yield self._painted([(row.below, _FAINT), (told, style)])

    def _line(self, parts: Sequence[Part]) -> str:
        return self._painted(self._fitted(parts, self._columns)).rstrip()

    def _fitted(self, parts: Sequence[Part], cells: int) -> list[Part]:
        fitted: list[Part] = []
        for text, style in parts:
            needed = width(text)
            if needed > cells:
                return [*fitted, (fit(text, cells), style)]
            fitted.append((text, style))
            cells -= needed
        return [*fitted, (" " * cells, _PLAIN)]

    def _painted(self, parts: Sequence[Part]) -> str:
        if not self._colour:
            return "".join(text for text, _ in parts)
        return "".join(click.style(text, **style) if style and text else text for text, style in parts)


def error_text(span: Span) -> str:
    """Why a failed span failed, printable and of bearable length; "" when it did not, or does not tell."""
    if span.status != "error":
        return ""
    told = [span.status_message] if span.status_message else []
    for event in span.events:
        if event.name == "exception":
            told += _news(told, event.attributes.get("exception.type"), event.attributes.get("exception.message"))
    error_type = span.attributes.get("error.type")
    if not told and isinstance(error_type, str):
        told = [error_type]
    text = printable("; ".join(told))
    return text if len(text) <= _LONGEST_ERROR else text[:_LONGEST_ERROR] + "…"


def _news(told: Sequence[str], kind: object, message: object) -> list[str]:
    """What an exception says beyond what is told already: its message may be the description of the status."""
    if isinstance(message, str) and message and any(message in text for text in told):
        return []
    raised = ": ".join(part for part in (kind, message) if isinstance(part, str) and part)
    return [raised] if raised and not any(raised in text for text in told) else []


def _span_parts(span: Span) -> list[Part]:
    parts: list[Part] = [
        (printable(span.service) or "?", _BOLD),
        (f"  {printable(span.kind).upper() or '?'}", _FAINT),
    ]
    # Before the name: a long name is cut, and this must stay.
    if span.status == "error":
        parts.append(("  ERROR", _BAD))
    elif span.status == "ok":
        parts.append(("  OK", {"fg": "green"}))
    return [*parts, (f"  {printable(span.name)}", _PLAIN)]


def _log_parts(line: LogLine) -> list[Part]:
    colour = _SEVERITY_COLOURS.get(line.severity)
    style = {"fg": colour} if colour else _FAINT
    return [(f"{printable(line.severity):5} ", style), (printable(line.body), style)]


def _duration(microseconds: int) -> str:
    return f"{microseconds / 1000:.1f} ms" if microseconds < 10**8 else f"{microseconds / 10**6:.1f} s"


def _moment(microseconds: int) -> datetime.datetime:
    try:
        return datetime.datetime.fromtimestamp(microseconds / 10**6, datetime.UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return datetime.datetime.fromtimestamp(0, datetime.UTC)


def _date(microseconds: int) -> str:
    return _moment(microseconds).isoformat(" ", "milliseconds")


def _clock(microseconds: int) -> str:
    return _moment(microseconds).time().isoformat("milliseconds")
