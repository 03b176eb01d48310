# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The warnings that Jaeger attaches to spans: no duration, a parent that never arrived, clocks that disagree.

Its ``sanitizer/negative_duration_santizer.go`` and, of the query service, ``adjuster/clockskew.go`` with the default
``max_clock_skew_adjust`` of zero (skew is reported, nothing is moved) and ``adjuster/bad_span_references.go``.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from otel_backendai.desk.jaeger_references import parent_span_id, references
from otel_backendai.desk.model import Span

_NO_DURATION = "Negative duration detected, sanitizing end timestamp. Original end timestamp: {}, adjusted to: {}"
_MISSING_PARENT = "invalid parent span IDs={}; skipping clock skew adjustment"
_SKEW = "clock skew adjustment disabled; not applying calculated delta of {}"
# Go prints the whole structure.
_INVALID_REFERENCE = (
    "Invalid span reference removed {{TraceID:0000000000000000 SpanID:{} RefType:{} "
    "XXX_NoUnkeyedLiteral:{{}} XXX_unrecognized:[] XXX_sizecache:0}}"
)
# The resource attribute by which Jaeger tells hosts apart. No SDK sets it, so that every span counts as another host's.
_HOST = "ip"


def trace_warnings(spans: Sequence[Span]) -> dict[str, list[str]]:
    """Warnings by span ID; spans without one are not in it. ``spans`` are all of one trace."""
    warnings: dict[str, list[str]] = {}
    for span in spans:
        if span.end_ns <= span.start_ns:
            text = _NO_DURATION.format(_go_time(span.end_ns), _go_time(span.start_ns + 1))
            warnings.setdefault(span.span_id, []).append(text)
    _warn_of_parents_and_skew(spans, warnings)
    for span in spans:
        for kind, trace_id, span_id in references(span):
            if not trace_id:
                text = _INVALID_REFERENCE.format(span_id or "0" * 16, kind)
                warnings.setdefault(span.span_id, []).append(text)
    return warnings


def _warn_of_parents_and_skew(spans: Sequence[Span], warnings: dict[str, list[str]]) -> None:
    known = {span.span_id for span in spans}
    children: dict[str, list[Span]] = {}
    # Each entry: a span, its parent, and the skew and the host that the parent was found to have.
    open_nodes: list[tuple[Span, Span | None, int, str]] = []
    for span in spans:
        parent_id = parent_span_id(span)
        if parent_id in known:
            children.setdefault(parent_id, []).append(span)
            continue
        if parent_id:
            warnings.setdefault(span.span_id, []).append(_MISSING_PARENT.format(parent_id))
        open_nodes.append((span, None, 0, _host(span)))
    while open_nodes:
        span, parent, skew_ns, skewed_host = open_nodes.pop()
        host = _host(span)
        if parent is not None and (host != skewed_host or not host):
            skew_ns, skewed_host = _skew(span, parent), host
        if skew_ns:
            warnings.setdefault(span.span_id, []).append(_SKEW.format(go_duration(skew_ns)))
        open_nodes.extend((child, span, skew_ns, skewed_host) for child in children.get(span.span_id, ()))


def go_duration(nanoseconds: int) -> str:
    """``nanoseconds`` as Go prints a time.Duration: ``1.5ms``, ``-2m3s``, ``0s``."""
    sign, value = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if value == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if value < size * 1000:
            return f"{sign}{_decimal(value, size)}{unit}"
    minutes, rest = divmod(value, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{clock}{_decimal(rest, 10**9)}s"


def _decimal(value: int, size: int) -> str:
    whole, rest = divmod(value, size)
    fraction = f"{rest:0{len(str(size)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{fraction}" if fraction else str(whole)


def _go_time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


def _host(span: Span) -> str:
    value = span.resource.get(_HOST)
    return value if isinstance(value, str) else ""


def _duration(span: Span) -> int:
    return max(1, span.end_ns - span.start_ns)


def _skew(child: Span, parent: Span) -> int:
    parent_duration, child_duration = _duration(parent), _duration(child)
    if child_duration > parent_duration:
        return max(0, parent.start_ns - child.start_ns)
    parent_end, child_end = parent.start_ns + parent_duration, child.start_ns + child_duration
    if child.start_ns >= parent.start_ns and child_end <= parent_end:
        return 0
    # Network latency is taken to be the same in both directions.
    return parent.start_ns + (parent_duration - child_duration) // 2 - child.start_ns
