# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What ``otel-backendai trace`` makes of spans: rows, gaps, bars, texts that cannot harm a terminal."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_backendai.cli.arguments import UsageError
from otel_backendai.cli.terminal_text import fit, printable, width
from otel_backendai.cli.trace_components import components_of
from otel_backendai.cli.trace_identifiers import entity_spellings
from otel_backendai.cli.trace_reading import read_jaeger_trace, reading
from otel_backendai.cli.trace_source import Answer, Question, SourceError, latest
from otel_backendai.cli.trace_text import Axis, TraceText, error_text
from otel_backendai.cli.trace_tree import MissingParent, Row, missing_parents, tree_rows
from otel_backendai.desk.jaeger_model import jaeger_trace
from otel_backendai.desk.model import LogLine, Span, SpanEvent, SpanLink

TRACE_ID = "0" * 16 + "d269b633813fc60c"
START = 1_700_000_000_000_000_000
MS = 10**6
FOLDER, FOLDER_DIGITS = "4f3c2b1a-0000-4000-8000-00000000abcd", "4f3c2b1a00004000800000000000abcd"


def span(span_id: str, /, parent: str = "", at: int = 0, length: int = 1, **changes: Any) -> Span:
    made = Span(
        trace_id=TRACE_ID,
        span_id=span_id,
        parent_span_id=parent,
        name=span_id,
        kind="server",
        start_ns=START + at * MS,
        end_ns=START + (at + length) * MS,
        service="manager",
    )
    return replace(made, **changes)


def log(body: str, span_id: str = "", at: int = 0, severity: str = "INFO") -> LogLine:
    return LogLine(START + at * MS, severity, body, "manager", trace_id=TRACE_ID, span_id=span_id)


def drawn(row: Row) -> str:
    item = row.item
    if isinstance(item, Span):
        return row.guide + item.name + (" LOOP" if row.is_loop else "")
    return row.guide + (f"missing {item.span_id}" if isinstance(item, MissingParent) else item.body)


def test_tree_in_order_of_time() -> None:
    """Children and log lines stand below their span by time, whatever the order in which they came."""
    spans = [span("c", "a", 2), span("d", "b", 1), span("a"), span("b", "a", 1)]
    logs = [log("late", "a", 3), log("early", "a", 0), log("in d", "d", 1), log("nowhere", "gone", 9)]
    assert [drawn(row) for row in tree_rows(spans, logs)] == [
        "a",
        "├─ early",
        "├─ b",
        "│  └─ d",
        "│     └─ in d",
        "├─ c",
        "└─ late",
        "nowhere",
    ]


def test_missing_parent_is_a_row() -> None:
    """Spans and log lines of a parent that never arrived stand below a row for it, at its place in time."""
    spans = [span("late root", at=9), span("b", "gone", 5), span("a", "gone", 4)]
    rows = [drawn(row) for row in tree_rows(spans, [log("of gone", "gone", 6)])]
    assert rows == ["missing gone", "├─ a", "├─ b", "└─ of gone", "late root"]
    assert {parent: len(orphans) for parent, orphans in missing_parents(spans).items()} == {"gone": 2}


def test_spans_that_are_their_own_ancestors() -> None:
    """A loop is cut at its earliest span and marked; nothing is lost and nothing repeated."""
    spans = [span("self", "self", 9), span("x", "y", 1), span("y", "x", 2), span("below", "y", 3), span("root")]
    assert [drawn(row) for row in tree_rows(spans, [])] == ["root", "x LOOP", "└─ y", "   └─ below", "self LOOP"]


def test_two_spans_with_one_id() -> None:
    """Both are shown, and what is below them once."""
    spans = [span("a"), span("a", at=1), span("b", "a", 2)]
    assert [drawn(row) for row in tree_rows(spans, [])] == ["a", "└─ b", "a"]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 9), st.integers(0, 5)), max_size=12))
def test_every_item_once(shape: list[tuple[int, int, int]]) -> None:
    """Whatever the parents are, every span and every log line is in exactly one row."""
    spans = [span(str(name), "" if parent < 0 else str(parent), at) for name, parent, at in shape]
    logs = [log(str(number), str(parent), at) for number, parent, at in shape]
    items = [row.item for row in tree_rows(spans, logs)]
    assert sorted(map(id, spans)) == sorted(id(item) for item in items if isinstance(item, Span))
    assert sorted(map(id, logs)) == sorted(id(item) for item in items if isinstance(item, LogLine))
    missing = [item.span_id for item in items if isinstance(item, MissingParent)]
    assert sorted(missing) == sorted(missing_parents(spans))


def test_very_deep_trace() -> None:
    """A chain of ten thousand spans is drawn; where its guides end, a row says how deep it is."""
    spans = [span(str(depth), str(depth - 1) if depth else "", depth) for depth in range(10_000)]
    rows = list(tree_rows(spans, []))
    assert [row.depth for row in rows] == list(range(10_000))
    assert max(len(row.guide) for row in rows) < 50
    assert (rows[12].guide[-3:], rows[13].guide[-8:], rows[9_999].guide[-7:]) == ("└─ ", "└─ [13] ", "[9999] ")


def test_bars_stay_on_the_axis() -> None:
    """A bar has its place and length, at least one cell, and never leaves the column."""
    axis = Axis(START // 1000, 10_000, 10)
    assert axis.bar(span("a", length=10)) == "█" * 10
    assert axis.bar(span("a", at=5, length=3)) == " " * 5 + "███"
    assert axis.bar(span("a", at=10, length=0)) == " " * 9 + "█"
    assert axis.bar(span("a", length=-5)) == "█"
    assert Axis(START // 1000, 0, 10).bar(span("a", length=0)) == "█"


@given(st.text(), st.integers(0, 30))
def test_fitted_text_has_its_width(text: str, cells: int) -> None:
    """Cut or filled, a text takes exactly its cells, wide letters included."""
    assert width(fit(printable(text), cells)) == cells


def test_fitted_text_keeps_its_ellipsis() -> None:
    """Cut text says so, also where letters take two cells or none."""
    assert fit("세션을 만들었습니다", 9) == "세션을 …" + " "
    assert fit("e\u0301te\u0301 long", 4) == "e\u0301te\u0301…"
    assert fit("long", 0) == ""


@pytest.mark.parametrize("text", ["\u2764\ufe0f", "e\u20dd", "\u0e01\u0e34", "\u0915\u0941"])
def test_marks_take_no_cell(text: str) -> None:
    """A letter with a mark on it is as wide as the letter, whether or not the mark has a combining class."""
    assert width(text) == 1


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_no_text_reaches_the_terminal_raw(text: str) -> None:
    """Names, log lines, messages and components hold no control characters when they are printed."""
    failed = span(
        "a",
        status="error",
        status_message=text,
        name=text,
        service=text,
        kind=text,
        events=(SpanEvent(START, "exception", {"exception.type": text, "exception.message": text}),),
    )
    line = replace(log(text, "a"), service=text, severity=text)
    answer = Answer("request", [[failed]], [line, replace(line, trace_id="", span_id="")], [text])
    for colour in (False, True):
        painter = TraceText(100, colour=colour)
        lines = [*painter.answer(answer, components_of(answer)), painter.arrival(failed), painter.arrival(line)]
        for shown in lines:
            assert shown.replace("\x1b[", "").isprintable()
            assert colour or "\x1b" not in shown


def test_hostile_names_change_nothing_but_themselves() -> None:
    """Escape sequences, line breaks, markup and reordering marks are text, and the line keeps its width."""
    hostile = "\x1b[2J\x1b]0;title\x07\r\n[bold red]x[/]\u202e{cut}\x9b31m"
    (_, _, line, *_) = TraceText(100, colour=False).answer(Answer("request", [[span("a", name=hostile)]], (), ()), NONE)
    assert "[bold red]x[/]" in line
    assert line.isprintable()
    assert width(line) <= 100


NONE = components_of(Answer("", (), (), ()))


def test_lines_of_a_trace() -> None:
    """Component, kind, status, name, duration, bar, error text and gap of a trace are there, with a time axis."""
    spans = [
        span("a", length=100),
        span("b", "a", 50, 25, status="error", status_message="no space left", service="agent"),
        span("c", "gone", 75, 25, status="ok"),
    ]
    head, axis, *lines = TraceText(100, colour=False).answer(Answer("request", [spans], [log("hello", "b")], ()), NONE)
    assert head.startswith(f"trace {TRACE_ID}  3 spans, ")
    assert head.endswith(", 1 gap, 1 failed")
    assert axis.split() == ["0", "100.0", "ms"]
    assert [" ".join(line.split()) for line in lines[:6]] == [
        "manager SERVER a 100.0 ms █████████████████████████",
        "└─ agent SERVER ERROR b 25.0 ms ██████",
        "│ no space left",
        "└─ INFO hello",
        "parent missing: span gone never arrived",
        "└─ manager SERVER OK c 25.0 ms ██████",
    ]
    assert lines[0].index("█") == axis.index("0")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"status": "unset", "status_message": "unused"}, ""),
        ({}, ""),
        ({"status_message": "full"}, "full"),
        ({"status_message": "OSError: full"}, "OSError: full"),
        ({"status_message": "failed"}, "failed; OSError: full"),
        ({"status_message": "the disk is full"}, "the disk is full"),
        ({"attributes": {"error.type": "500"}, "events": ()}, "500"),
        ({"attributes": {"error.type": 500}, "events": ()}, ""),
        ({"status_message": "x" * 501, "events": ()}, "x" * 500 + "…"),
    ],
)
def test_error_text(changes: dict[str, Any], told: str) -> None:
    """The status message and the exception, each once; the type of the error where there is neither."""
    raised = SpanEvent(START, "exception", {"exception.type": "OSError", "exception.message": "full"})
    if changes.get("status_message") in ("OSError: full", "failed", "the disk is full"):
        changes = {**changes, "events": (raised,)}
    assert error_text(span("a", **{"status": "error", **changes})) == told


def test_jaeger_gives_the_spans_back() -> None:
    """A trace that went through Jaeger's model is the same one, to the microsecond."""
    full = span(
        "a",
        "b",
        status="error",
        status_message="full",
        trace_state="a=b",
        scope="otel_backendai",
        scope_version="1",
        attributes={"big": 2**60, "flag": True, "half": 0.5, "text": "x"},
        resource={"service.name": "manager", "process.pid": 7},
        events=(SpanEvent(START, "exception", {"exception.type": "OSError"}),),
        links=(SpanLink("f" * 32, "c" * 16),),
    )
    (read,) = read_jaeger_trace(jaeger_trace([full]))
    assert read == full


def test_link_of_a_root_is_no_parent() -> None:
    """A redelivered event is linked to its sender's trace, and stays a root."""
    (read,) = read_jaeger_trace(jaeger_trace([span("a", links=(SpanLink("f" * 32, "c" * 16),))]))
    assert (read.parent_span_id, read.links) == ("", (SpanLink("f" * 32, "c" * 16),))


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"processes": [], "spans": []},
        {"processes": {"p1": {"serviceName": 5}}, "spans": []},
        {"processes": {}, "spans": [{"processID": "p1"}]},
        {"processes": {"p1": {"serviceName": "x", "tags": "text"}}, "spans": [5]},
    ],
)
def test_answers_of_another_form(answer: dict[str, object]) -> None:
    """What is no trace is told as one sentence, not as an exception of Python."""
    with pytest.raises(SourceError, match="is no source of traces"), reading("http://h", "Jaeger"):
        read_jaeger_trace(answer)
    assert issubclass(SourceError, UsageError)


def test_the_latest_traces_are_kept() -> None:
    """Of more traces than allowed the latest are shown, the earliest of them first, and it is told."""
    traces = [[span("c", at=3)], [span("a", at=1)], [span("b", at=2)]]
    kept, cut = latest(traces, Question("id", 0, 2))
    assert ([spans[0].name for spans in kept], cut) == (["b", "c"], True)
    assert latest(traces, Question("id", 0, 3))[1] is False


def test_components() -> None:
    """Reached ones in order of time, those that the source knows beside them, and Backend.AI's that it does not."""
    spans = [span("b", "a", 1, service="agent"), span("a", service="manager")]
    outside = replace(log("x"), service="client")
    found = components_of(Answer("request", [spans], [outside], ["agent", "manager", "wsproxy"]))
    assert found.reached == ["client", "manager", "agent"]
    assert found.not_reached == ["wsproxy"]
    assert "storage-proxy" in found.unheard
    assert not {"agent", "manager", "wsproxy"} & set(found.unheard)


@pytest.mark.parametrize(
    ("identifier", "spellings"),
    [
        (FOLDER, [FOLDER]),
        (FOLDER.upper(), [FOLDER.upper(), FOLDER]),
        (FOLDER_DIGITS, [FOLDER_DIGITS, FOLDER]),
        (f"user:{FOLDER}/{FOLDER_DIGITS}", [f"user:{FOLDER}/{FOLDER_DIGITS}", FOLDER]),
        (f"project:p/{FOLDER}", [f"project:p/{FOLDER}", FOLDER]),
        # Not an owner: what follows a slash in a request ID is nobody's folder.
        (f"batch/{FOLDER}", [f"batch/{FOLDER}"]),
        ("req-1", ["req-1"]),
        ("user:a/", ["user:a/"]),
    ],
)
def test_an_id_is_searched_for_as_spans_spell_it(identifier: str, spellings: list[str]) -> None:
    """As it was given first, then a UUID in lower case with dashes; of a vfolder's full name its ID."""
    assert list(entity_spellings(identifier)) == spellings
