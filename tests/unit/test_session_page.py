# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The picture of a session creation: where a span is drawn, and what is said where there is none."""

import json
import re
from dataclasses import replace
from pathlib import Path

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_SESSION_STATUS
from tools.session_page import STATUSES, Panel, lane_of, render
from tools.session_picture import panel_of, read_sink

_SECOND = 1_000_000_000
REQUEST = Span(
    trace_id="t",
    span_id="1",
    parent_span_id="",
    name="POST /session",
    kind="server",
    start_ns=0,
    end_ns=_SECOND // 10,
    service="backend.ai-manager",
)


def span(start: float, end: float, **changes: object) -> Span:
    """A span between two seconds."""
    made = replace(REQUEST, name="work", kind="internal", start_ns=int(start * _SECOND), end_ns=int(end * _SECOND))
    return replace(made, **changes)  # type: ignore[arg-type]  # names of fields


def lefts(page: str, label: str) -> list[float]:
    """Where the labels that read so begin, in pixels."""
    return [float(left) for left in re.findall(rf"style='left:([\d.]+)px;top:\d+px'>{label}</em>", page)]


def test_a_component_has_one_name() -> None:
    """What Backend.AI calls itself and what the stack calls it is one lane; statuses have a lane of their own."""
    assert lane_of(span(0, 1, service="storage-proxy")) == lane_of(span(0, 1, service="backend.ai-storage"))
    assert lane_of(span(0, 1, attributes={ATTRIBUTE_SESSION_STATUS: "PENDING"})) == STATUSES


def test_panels_have_one_scale() -> None:
    """The same moment is at the same place in both, so that they can be compared by eye."""
    slow = Panel("slow", "", [REQUEST, span(5, 9, name="late")], 0, 10 * _SECOND)
    quick = Panel("quick", "", [span(5, 9, name="late")], 0, 9 * _SECOND)
    found = lefts(render([slow, quick]), "late")
    assert len(found) == 2
    assert found[0] == found[1]


def test_both_panels_have_all_lanes() -> None:
    """A component that one of them does not see has its empty lane there."""
    page = render([Panel("a", "", [REQUEST], 0, _SECOND), Panel("b", "", [span(0, 1, service="agent")], 0, _SECOND)])
    assert page.count(">agent</b>") == page.count(">manager</b>") == 2


def test_spans_at_one_time_are_below_each_other() -> None:
    """Bars never cover each other; one that begins after another has ended is in its row."""
    page = render([Panel("a", "", [span(0, 4), span(1, 2), span(5, 6)], 0, 6 * _SECOND)])
    assert re.findall(r"<i [^>]*top:(\d+)px'>", page) == ["0", "0", "17"]


def test_silence_is_told() -> None:
    """Where the trace ends long before the session runs, the picture says for how long; else nothing."""
    assert "9.9 s without a span" in render([Panel("a", "", [REQUEST], 0, 10 * _SECOND)])
    assert "without a span" not in render([Panel("a", "", [REQUEST, span(1, 9.9)], 0, 10 * _SECOND)])


def test_texts_are_no_markup() -> None:
    """What a component calls a span is text."""
    page = render([Panel("a", "", [span(0, 10, name="<b>&")], 0, 10 * _SECOND)])
    assert "&lt;b&gt;&amp;" in page
    assert "<b>&" not in page


def test_figures() -> None:
    """The request's own span explains nothing of the creation; what begins after the session runs is left out."""
    panel = panel_of("a", [REQUEST, span(0, 5, service="agent"), span(11, 12)], REQUEST, 10 * _SECOND)
    assert panel.facts.startswith("one trace of 2 spans in 2 components; they cover 50% of the 10.0 s")


def test_the_sinks_rows_are_spans(tmp_path: Path) -> None:
    """What the sink wrote of spans is read, what it wrote of logs and metrics is not."""
    row = {"trace": "t", "span": "1", "parent": None, "name": "GET /", "kind": 2, "start": 1, "end": 2}
    rows = [{"signal": "log"}, {"signal": "span", "service": "manager", "status": {"code": 2}, "attrs": {}, **row}]
    file = tmp_path / "otlp.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (read,) = read_sink(file)
    assert (read.kind, read.parent_span_id, read.status, read.end_ns) == ("server", "", "error", 2)
