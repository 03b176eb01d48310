# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The warnings that Jaeger's query service attaches to spans: a parent that never arrived, clocks that disagree.

Its ``adjuster/clockskew.go`` with the default ``max_clock_skew_adjust`` of zero: skew is reported, nothing is moved.
"""

from collections.abc import Sequence

from otel_backendai.desk.model import Attributes, Span

_MISSING_PARENT = "parent span ID={} is not in the trace; skipping clock skew adjustment"
_SKEW = "clock skew adjustment disabled; not applying calculated delta of {}"
_INVALID_LINK = "Invalid span link removed"


def trace_warnings(spans: Sequence[Span]) -> dict[str, list[str]]:
    """Warnings by span ID; spans without one are not in it. ``spans`` are all of one trace."""
    warnings: dict[str, list[str]] = {}
    by_id = {span.span_id: span for span in spans}
    children: dict[str, list[Span]] = {}
    # Each entry: a span, its parent, and the skew and the host that the parent was found to have.
    open_nodes: list[tuple[Span, Span | None, int, str]] = []
    for span in spans:
        if span.parent_span_id in by_id:
            children.setdefault(span.parent_span_id, []).append(span)
            continue
        if span.parent_span_id:
            warnings.setdefault(span.span_id, []).append(_MISSING_PARENT.format(span.parent_span_id))
        open_nodes.append((span, None, 0, _host(span.resource)))
    while open_nodes:
        span, parent, skew_ns, skewed_host = open_nodes.pop()
        host = _host(span.resource)
        if parent is not None and (host != skewed_host or not host):
            skew_ns, skewed_host = _skew(span, parent), host
        if skew_ns:
            warnings.setdefault(span.span_id, []).append(_SKEW.format(go_duration(skew_ns)))
        open_nodes.extend((child, span, skew_ns, skewed_host) for child in children.get(span.span_id, ()))
    for span in spans:
        invalid = [_INVALID_LINK for link in span.links if not link.trace_id]
        if invalid:
            warnings.setdefault(span.span_id, []).extend(invalid)
    return warnings


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


def _host(resource: Attributes) -> str:
    for key in ("host.id", "host.ip", "host.name"):
        value = resource.get(key)
        if isinstance(value, str):
            return value
        if key == "host.ip" and isinstance(value, list) and value:
            return str(value[0])
    return ""


def _skew(child: Span, parent: Span) -> int:
    parent_duration, child_duration = parent.end_ns - parent.start_ns, child.end_ns - child.start_ns
    if child_duration > parent_duration:
        return max(0, parent.start_ns - child.start_ns)
    if child.start_ns >= parent.start_ns and child.end_ns <= parent.end_ns:
        return 0
    # Network latency is taken to be the same in both directions.
    return parent.start_ns + (parent_duration - child_duration) // 2 - child.start_ns
