# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Whether each hop of a flow kept request ID and trace, judged by what its receiver got. Names the hop that did not.

The rules, for the hops of a flow in the order of time:

* The child has a SERVER (events: CONSUMER) span, and its parent is a CLIENT (PRODUCER) span of the hop's parent.
* That CLIENT span happened in what the parent was doing: it is below the entry span of the latest hop before that led
  to the parent, or below a root where none did.
* Every span of the flow's traces carries the request ID, names its service, and has its parent among them. No trace is
  there that the flow does not begin: a client begins one per call, a timer one in all.
* Each component that has a span has a log line with the request ID.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from backendai_example.topology import Flow, Hop, HopKind
from otel_backendai.desk.model import LogLine, Span
from otel_backendai.names import (
    ATTRIBUTE_ORIGIN_COMPONENT,
    ATTRIBUTE_ORIGIN_DETAIL,
    ATTRIBUTE_REQUEST_ID,
    ORIGIN_BACKGROUND,
    RPC_SYSTEM_NAME,
)

_ENTRY_KINDS: Final = ("server", "consumer")
# Kinds of the receiving and the sending span, and an attribute that both have by the semantic conventions.
_SIGNS: Final[Mapping[HopKind, tuple[str, str, str]]] = {
    HopKind.HTTP: ("server", "client", "http.request.method"),
    HopKind.WEBSOCKET: ("server", "client", "http.request.method"),
    HopKind.RPC: ("server", "client", RPC_SYSTEM_NAME),
    HopKind.EVENT: ("consumer", "producer", "messaging.system"),
}


@dataclass(frozen=True, slots=True)
class HopResult:
    """A hop and what became of it: ``problem`` is "" when it kept ID and trace, ``spans`` are its receiving spans."""

    hop: Hop
    problem: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class FlowResult:
    """What became of a flow: its hops, and all problems as sentences that name hop or component."""

    hops: tuple[HopResult, ...]
    problems: tuple[str, ...]


def hop_text(hop: Hop) -> str:
    """A hop as a reader is shown it."""
    return f"{hop.parent} -> {hop.child} ({hop.kind})"


def check_flow(flow: Flow, request_id: str, spans: Sequence[Span], logs: Iterable[LogLine]) -> FlowResult:
    """Judge ``flow``.

    Args:
        flow: What should have happened.
        request_id: The ID under which it should have.
        spans: All spans of the traces in which the ID occurs.
        logs: The log lines that belong to the request.
    """
    tree = _Tree(spans)
    arrivals: list[_Arrivals] = []
    for hop in flow.hops:
        before = next((earlier for earlier in reversed(arrivals) if earlier.hop.child == hop.parent), None)
        arrivals.append(_arrivals(hop, before, tree, request_id))
    explained = {span.span_id for found in arrivals for span in found.kept}
    hops = tuple(HopResult(found.hop, _hop_problem(found, explained), tuple(found.kept)) for found in arrivals)
    problems = [f"{hop_text(result.hop)}: {result.problem}" for result in hops if result.problem]
    problems += _span_problems(tree, request_id)
    if not problems:
        problems += _trace_problems(flow, tree)
    problems += _log_problems(tree, request_id, logs)
    return FlowResult(hops, tuple(problems))


class _Tree:
    """Spans by their ID, with the questions about who caused whom."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = spans
        self._by_id = {(span.trace_id, span.span_id): span for span in spans}

    def parent(self, span: Span) -> Span | None:
        """The parent; ``None`` for a root and where the parent is not here."""
        return self._by_id.get((span.trace_id, span.parent_span_id))

    def cause(self, span: Span) -> Span:
        """The span in whose course ``span`` happened: the nearest entry span above it, else the topmost one."""
        seen = {span.span_id}
        while (above := self.parent(span)) is not None and above.span_id not in seen:
            if above.kind in _ENTRY_KINDS:
                return above
            seen.add(above.span_id)
            span = above
        return span


@dataclass(slots=True)
class _Arrivals:
    """The receiving spans that a hop may have led to: those that kept everything, and what is wrong with the others."""

    hop: Hop
    before: "_Arrivals | None"
    kept: list[Span] = field(default_factory=list)
    problems: list[tuple[Span, str]] = field(default_factory=list)


def _arrivals(hop: Hop, before: _Arrivals | None, tree: _Tree, request_id: str) -> _Arrivals:
    entry_kind, exit_kind, sign = _SIGNS[hop.kind]
    found = _Arrivals(hop, before)
    for span in tree.spans:
        if span.service != hop.child or span.kind != entry_kind or sign not in span.attributes:
            continue
        problem = _arrival_problem(hop, exit_kind, before, tree, span)
        if not problem and span.attributes.get(ATTRIBUTE_REQUEST_ID) != request_id:
            problem = f"{_span_text(span)} has lost the request ID: it carries {_id_text(span)}"
        if problem:
            found.problems.append((span, problem))
        else:
            found.kept.append(span)
    return found


def _hop_problem(found: _Arrivals, explained: Collection[str]) -> str:
    if found.kept:
        return ""
    # The arrivals of other hops are no broken arrivals of this one.
    problems = [problem for span, problem in found.problems if span.span_id not in explained]
    if problems:
        return "; ".join(problems)
    if found.before is not None and not found.before.kept:
        return f"nothing arrived, as an earlier hop is broken: {hop_text(found.before.hop)}"
    kind = _SIGNS[found.hop.kind][0].upper()
    return f"no {kind} span of {found.hop.child} arrived with this request ID"


def _arrival_problem(hop: Hop, exit_kind: str, before: _Arrivals | None, tree: _Tree, arrival: Span) -> str:
    parent = tree.parent(arrival)
    if parent is None:
        what = "its parent span is missing" if arrival.parent_span_id else "it begins a trace of its own"
        return f"{_span_text(arrival)} has lost the trace: {what}"
    if parent.service != hop.parent or parent.kind != exit_kind:
        return f"{_span_text(arrival)} has the wrong parent: {_span_text(parent)}"
    cause = tree.cause(parent)
    if before is None:
        return "" if cause.kind not in _ENTRY_KINDS else _wrong_cause(parent, cause)
    # Where the hop before is broken, that is the finding, and nothing is known about this one's cause.
    return "" if not before.kept or cause in before.kept else _wrong_cause(parent, cause)


def _wrong_cause(sending: Span, cause: Span) -> str:
    return f"{_span_text(sending)} has the wrong parent: it is below {_span_text(cause)}"


def _span_problems(tree: _Tree, request_id: str) -> list[str]:
    problems = []
    for span in tree.spans:
        if not span.resource.get("service.name"):
            problems.append(f"{_span_text(span)} has no service.name")
        if span.attributes.get(ATTRIBUTE_REQUEST_ID) != request_id:
            problems.append(f"{_span_text(span)} carries {_id_text(span)}")
        if span.parent_span_id and tree.parent(span) is None:
            problems.append(f"the parent of {_span_text(span)} is missing")
    return problems


def _trace_problems(flow: Flow, tree: _Tree) -> list[str]:
    roots = [span for span in tree.spans if not span.parent_span_id]
    beginner = flow.hops[0].parent
    by_timer = flow.client_arguments is None
    expected = 1 if by_timer else sum(hop.parent == beginner for hop in flow.hops)
    if len(roots) != expected:
        begun = ", ".join(_span_text(span) for span in roots) or "nothing"
        return [f"{expected} trace{'s' if expected > 1 else ''} expected, {len(roots)} found, begun by {begun}"]
    origin = (roots[0].attributes.get(ATTRIBUTE_ORIGIN_COMPONENT), roots[0].attributes.get(ATTRIBUTE_ORIGIN_DETAIL))
    if by_timer and origin != (beginner, ORIGIN_BACKGROUND):
        return [f"{_span_text(roots[0])} does not say that background work of {beginner} began it"]
    return []


def _log_problems(tree: _Tree, request_id: str, logs: Iterable[LogLine]) -> list[str]:
    logged = {line.service for line in logs if line.attributes.get(ATTRIBUTE_REQUEST_ID) == request_id}
    # A component without spans is named by its hop.
    components = dict.fromkeys(span.service for span in tree.spans if span.service)
    return [f"{name}: no log line carries the request ID" for name in components if name not in logged]


def _span_text(span: Span) -> str:
    return f"{span.kind.upper()} span {span.name!r} of {span.service or 'an unnamed service'}"


def _id_text(span: Span) -> str:
    value = span.attributes.get(ATTRIBUTE_REQUEST_ID)
    return f"the request ID {value!r}" if value else "no request ID"
