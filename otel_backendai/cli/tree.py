# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A flow as trees for a terminal: per span component, kind, name, duration and request ID, below it its log lines."""

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from otel_backendai.cli.flows import FlowRun
from otel_backendai.cli.terminal_text import printable
from otel_backendai.desk.model import LogLine, Span
from otel_backendai.names import ATTRIBUTE_REQUEST_ID

# What a pipe or a file gets; a terminal says its own width.
_WIDTH_WITHOUT_TERMINAL = 100
_LONGEST_WHOLE_ID = 12
_SHORT_ID = 8
_DURATION_WIDTH = len("12345.6 ms")
_COMPONENT_STYLE = "bold"
_FAINT = "dim"
_GOOD = "green"
_BAD = "bold red"
_SEVERITY_STYLES = {"WARN": "yellow", "ERROR": _BAD, "FATAL": _BAD}


def make_console() -> Console:
    """A console for standard output: colours and the real width on a terminal, neither elsewhere."""
    console = Console(highlight=False, markup=False, emoji=False)
    return (
        console
        if console.is_terminal
        else Console(highlight=False, markup=False, emoji=False, width=_WIDTH_WITHOUT_TERMINAL)
    )


def render_flow(run: FlowRun, page_url: str) -> RenderableType:
    """Everything about one run of a flow."""
    title = run.flow.title
    head = Table.grid(padding=(0, 2))
    head.add_row(Text("request ID", _FAINT), Text(run.request_id or "none: nothing arrived", "bold cyan"))
    head.add_row(Text("page", _FAINT), Text(page_url))
    outside = [line for line in run.logs if not _is_inside(line, run.traces)]
    parts: list[RenderableType] = [Text(title[:1].upper() + title[1:], "bold underline"), head, Text()]
    parts += [Padding(_log_text(line, with_component=True), (0, 0, 0, 2)) for line in outside]
    for trace in run.traces:
        parts += [_trace_tree(trace, run), Text()]
    parts.append(_verdict(run))
    return Group(*parts)


def _verdict(run: FlowRun) -> RenderableType:
    if run.kept:
        hops, traces = len(run.result.hops), len(run.traces)
        told = f"OK: {hops} of {hops} hops kept request ID and trace ({traces} trace{'s' if traces > 1 else ''})"
        return Text(told, _GOOD)
    return Group(*(Text(f"FAILED: {printable(problem)}", _BAD) for problem in run.result.problems))


def _trace_tree(trace: Sequence[Span], run: FlowRun) -> Tree:
    known = {span.span_id for span in trace}
    tree = Tree(Text.assemble(("trace ", _FAINT), trace[0].trace_id), guide_style=_FAINT)
    for root in trace:
        if root.parent_span_id not in known:
            _add_span(tree, root, trace, run)
    return tree


def _add_span(tree: Tree, span: Span, trace: Sequence[Span], run: FlowRun) -> None:
    branch = tree.add(_span_row(span, run.request_id))
    children = [(child.start_ns, child) for child in trace if child.parent_span_id == span.span_id]
    lines = [
        (line.time_ns, line) for line in run.logs if (line.trace_id, line.span_id) == (span.trace_id, span.span_id)
    ]
    below: list[tuple[int, Span | LogLine]] = [*lines, *children]
    for _, item in sorted(below, key=lambda entry: entry[0]):
        if isinstance(item, Span):
            _add_span(branch, item, trace, run)
        else:
            branch.add(_log_text(item, with_component=False))


def _span_row(span: Span, request_id: str) -> Table:
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    row.add_column(justify="right", width=_DURATION_WIDTH, no_wrap=True)
    row.add_column(width=_LONGEST_WHOLE_ID, no_wrap=True)
    failed = span.status == "error"
    what = Text.assemble(
        (printable(span.service) or "?", _COMPONENT_STYLE),
        (f"  {span.kind.upper()}", _FAINT),
        f"  {printable(span.name)}",
        ("  ERROR" if failed else "", _BAD),
    )
    value = span.attributes.get(ATTRIBUTE_REQUEST_ID)
    shown = _short(value) if isinstance(value, str) else "no ID"
    row.add_row(
        what, f"{(span.end_ns - span.start_ns) / 1e6:.1f} ms", Text(shown, "cyan" if value == request_id else _BAD)
    )
    return row


def _log_text(line: LogLine, *, with_component: bool) -> Text:
    style = _SEVERITY_STYLES.get(line.severity, _FAINT)
    text = Text(no_wrap=True, overflow="ellipsis")
    if with_component:
        text.append(f"{printable(line.service)}  ", _COMPONENT_STYLE)
    text.append(f"{printable(line.severity):5} ", style)
    return text.append(printable(line.body), f"{style} italic")


def _is_inside(line: LogLine, traces: Iterable[Sequence[Span]]) -> bool:
    return any(line.span_id == span.span_id for trace in traces for span in trace)


def _short(request_id: str) -> str:
    shown = printable(request_id)
    return shown if len(shown) <= _LONGEST_WHOLE_ID else f"{shown[:_SHORT_ID]}..."
