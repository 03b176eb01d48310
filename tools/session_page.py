# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The making of one session as a page: a panel for each way of watching it, a lane for each component, one scale."""

import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_SESSION_STATUS

WIDTH = 1200
_NAMES = 150  # of the lanes, in pixels
_AXIS = WIDTH - _NAMES - 36
_ROW = 17
_SMALLEST = 2  # of a bar, in pixels
_WORTH_A_WORD = 200  # of time without a span, in pixels
_LETTER = 6.3  # of a label, in pixels
STATUSES = "session status"
# As an operator calls them, whoever named the service.
_COMPONENTS = {
    "storage": "storage-proxy",
    "proxy-coordinator": "appproxy-coordinator",
    "proxy-worker": "appproxy-worker",
}
_FIRST = (STATUSES, "client", "webserver", "manager", "agent")
_COLOURS = ("#7a7f87", "#2f6fb3", "#7d5bb5", "#1f8a70", "#b3662f", "#a3843b", "#b34a6c")


@dataclass(frozen=True, slots=True)
class Panel:
    """One way of watching: ``spans`` of the request's trace; ``start`` and ``end`` of the creation in nanoseconds."""

    title: str
    facts: str
    spans: Sequence[Span]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Bar:
    left: float
    width: float
    label: str
    failed: bool


def lane_of(span: Span) -> str:
    """The lane that a span is drawn in: the session's statuses have one of their own, else its component."""
    if ATTRIBUTE_SESSION_STATUS in span.attributes:
        return STATUSES
    name = span.service.removeprefix("backend.ai-")
    return _COMPONENTS.get(name, name)


def render(panels: Sequence[Panel]) -> str:
    """The page. All panels have the same lanes, also those in which nothing is, and the same scale."""
    longest = max(max(panel.end, *(span.end_ns for span in panel.spans)) - panel.start for panel in panels)
    found = {lane_of(span) for panel in panels for span in panel.spans}
    lanes = [*(one for one in _FIRST if one in found), *sorted(found - set(_FIRST))]

    def place(panel: Panel) -> Callable[[int], float]:
        return lambda at: min(max((at - panel.start) / longest, 0.0), 1.0) * _AXIS

    body = "".join(_panel(panel, lanes, longest, place(panel)) for panel in panels)
    return f"<!doctype html><meta charset=utf-8><title>One session</title><style>{_STYLE}</style><body>{body}"


def _panel(panel: Panel, lanes: Sequence[str], longest: int, place: Callable[[int], float]) -> str:
    drawn = "".join(_lane(lane, index, panel, place) for index, lane in enumerate(lanes))
    left, last = place(panel.end), max((span.end_ns for span in panel.spans), default=panel.start)
    quiet = ""
    if place(panel.end) - place(last) > _WORTH_A_WORD:
        seconds = (panel.end - last) / 1e9
        quiet = (
            f"<div class=quiet style='left:{_NAMES + place(last) + 4:.1f}px;width:{left - place(last) - 6:.1f}px'>"
            f"<span>{seconds:.1f} s without a span</span></div>"
        )
    running = f"<div class=running style='left:{_NAMES + left:.1f}px'></div>"
    told = html.escape(panel.facts)
    ticks = "".join(
        f"<span style='left:{_NAMES + place(panel.start + second * 10**9):.1f}px'>{second} s</span>"
        for second in range(longest // 10**9 + 1)
    )
    return (
        f"<section><h2>{html.escape(panel.title)}</h2><p>{told}</p>"
        f"<div class=lanes>{quiet}{drawn}{running}</div><div class=axis>{ticks}</div></section>"
    )


def _lane(lane: str, index: int, panel: Panel, place: Callable[[int], float]) -> str:
    rows = packed(_bar(span, place) for span in _in_order(panel.spans) if lane_of(span) == lane)
    colour = _COLOURS[index % len(_COLOURS)]
    bars = "".join(
        f"<i class='{'failed' if bar.failed else ''}' "
        f"style='left:{bar.left:.1f}px;width:{bar.width:.1f}px;top:{row * _ROW}px'></i>{_label(bar, row, bars)}"
        for row, bars in enumerate(rows)
        for bar in bars
    )
    height = max(len(rows), 1) * _ROW
    return (
        f"<div class=lane style='height:{height}px;--colour:{colour}'><b>{html.escape(lane)}</b>"
        f"<div class=bars>{bars}</div></div>"
    )


def _in_order(spans: Iterable[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: (span.start_ns, -span.end_ns))


def _bar(span: Span, place: Callable[[int], float]) -> _Bar:
    left = place(span.start_ns)
    name = span.name.removeprefix("session ") if ATTRIBUTE_SESSION_STATUS in span.attributes else span.name
    return _Bar(left, max(place(span.end_ns) - left, _SMALLEST), name, span.status == "error")


def packed(bars: Iterable[_Bar]) -> list[list[_Bar]]:
    """``bars`` by rows, in which none touches the next: each in the first row that is free where it begins."""
    rows: list[list[_Bar]] = []
    for bar in bars:
        free = (row for row in rows if row[-1].left + row[-1].width + 1 <= bar.left)
        row = next(free, None)
        if row is None:
            rows.append([bar])
        else:
            row.append(bar)
    return rows


def _label(bar: _Bar, row: int, bars: Sequence[_Bar]) -> str:
    """The bar's name: on it if it fits, else behind it if nothing else is there, else nothing."""
    needed = len(bar.label) * _LETTER + 6
    left, kind = bar.left, "on"
    if needed > bar.width:
        left, kind = bar.left + bar.width, "behind"
        if left + needed > min([other.left for other in bars if other.left > bar.left], default=_AXIS):
            return ""
    return f"<em class={kind} style='left:{left:.1f}px;top:{row * _ROW}px'>{html.escape(bar.label)}</em>"


_STYLE = f"""
*{{box-sizing:border-box}} body{{margin:0;padding:14px 12px 4px;width:{WIDTH}px;background:#fff;color:#1d2127;
font:13px/1.3 "DejaVu Sans",Helvetica,Arial,sans-serif}}
section{{margin-bottom:14px}} section:last-child{{margin-bottom:0}}
h2{{font-size:17px;margin:0 0 1px}} p{{margin:0 0 6px;font-size:14px;color:#4a515b}}
.lanes{{position:relative;border-top:1px solid #c9ced6}}
.lane{{position:relative;border-bottom:1px solid #e3e6ea;padding:0;margin:0;box-sizing:content-box}}
.lane b{{position:absolute;left:0;top:0;width:{_NAMES}px;font-size:12.5px;line-height:{_ROW}px;font-weight:600;
color:var(--colour)}}
.bars{{position:absolute;left:{_NAMES}px;top:0;width:{_AXIS}px;height:100%}}
.bars i{{position:absolute;height:{_ROW - 3}px;margin-top:1px;background:var(--colour);border-radius:1px;opacity:.85}}
.bars i.failed{{background:#c62828;opacity:1}}
.bars em{{position:absolute;font-size:11px;font-style:normal;line-height:{_ROW}px;white-space:nowrap;padding:0 3px}}
.bars em.on{{color:#fff}} .bars em.behind{{color:#30363e}}
.quiet{{position:absolute;top:0;bottom:0;background:repeating-linear-gradient(135deg,#f4e3e3 0 6px,#fbf3f3 6px 12px);
display:flex;align-items:center;justify-content:center;color:#8c2f2f;font-size:15px;font-weight:600}}
.quiet span{{background:#fff;padding:2px 10px;border-radius:3px}}
.running{{position:absolute;top:0;bottom:0;border-left:2px dashed #1d2127}}
.axis{{position:relative;height:18px;font-size:11px;color:#4a515b}}
.axis span{{position:absolute;top:2px;white-space:nowrap;transform:translateX(-50%)}}
"""
