# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The spans of a run by their relations, and by the kind of hop that they stand for."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_ORIGIN_DETAIL, INSTRUMENTATION_NAME, ORIGIN_BACKGROUND, RPC_SYSTEM_NAME
from tests.realstack.matrix.observation import Observation, component_of, request_id_of
from tests.realstack.matrix.sentences import some

_ENTRY_KINDS = ("server", "consumer")
_EXIT_KINDS = ("client", "producer")
_EVENT_NAME = "messaging.destination.template"
# Backend.AI's name for what a timer tells somebody to do: do_schedule, do_sokovan_process.
_TIMER_EVENTS = "do_"


class SpanTree:
    """Who caused whom among the spans of a run."""

    def __init__(self, observation: Observation) -> None:
        self._by_id = {(span.trace_id, span.span_id): span for span in observation.spans}
        # A span may arrive twice, when a receiver was slow to answer.
        self.spans: Sequence[Span] = list(self._by_id.values())
        self._children: dict[tuple[str, str], list[Span]] = {}
        for span in self.spans:
            self._children.setdefault((span.trace_id, span.parent_span_id), []).append(span)
        self._steps = {step.request_id: step for step in observation.steps}

    def parent(self, span: Span) -> Span | None:
        """The parent; ``None`` for a root and where the parent did not arrive."""
        return self._by_id.get((span.trace_id, span.parent_span_id))

    def children(self, span: Span) -> list[Span]:
        """The spans directly below."""
        return self._children.get((span.trace_id, span.span_id), [])

    def continued(self, span: Span, called: str) -> list[Span]:
        """The SERVER spans with which a component continued a CLIENT span, under its request ID."""
        return [
            below
            for below in self.children(span)
            if below.kind == "server" and component_of(below) == called and request_id_of(below) == request_id_of(span)
        ]

    def linked(self, span: Span) -> list[Span]:
        """The spans that arrived of those that ``span`` links to."""
        found = (self._by_id.get((link.trace_id, link.span_id)) for link in span.links)
        return [other for other in found if other is not None]

    def above(self, span: Span) -> Iterator[Span]:
        """The spans above, the nearest first."""
        seen = {span.span_id}
        current = self.parent(span)
        while current is not None and current.span_id not in seen:
            yield current
            seen.add(current.span_id)
            current = self.parent(current)

    def is_repeated(self, span: Span) -> bool:
        """Whether a span of the same kind and component is below, no call in between: one operation twice."""
        below = list(self.children(span))
        while below:
            other = below.pop()
            if component_of(other) != component_of(span) or other.kind in _EXIT_KINDS:
                continue
            if other.kind == span.kind:
                return True
            below += self.children(other)
        return False

    def has_cause(self, span: Span) -> bool:
        """Whether an entry of the same component, or a background run of it, is above ``span`` under the same ID."""
        return any(
            (other.kind in _ENTRY_KINDS or is_background(other))
            and component_of(other) == component_of(span)
            and request_id_of(other) == request_id_of(span)
            for other in self.above(span)
        )

    def in_step(self, span: Span) -> bool:
        """Whether ``span`` carries a step's request ID, in that step's trace."""
        step = self._steps.get(request_id_of(span))
        return step is not None and step.trace_id == span.trace_id

    def foreign(self, component: str, kind: str) -> list[str]:
        """A sentence for each span of that kind that somebody else made of what ours stand for: one has one span."""
        return some(
            f"{component}: {span.name} has a {kind.upper()} span of {span.scope}"
            for span in self.of(component, kind)
            if span.scope and not span.scope.startswith(INSTRUMENTATION_NAME)
        )

    def of(self, component: str, kind: str) -> Iterator[Span]:
        """The spans of one kind that a component sent."""
        return (span for span in self.spans if span.kind == kind and component_of(span) == component)


def is_http(span: Span) -> bool:
    """Whether a span stands for an HTTP call, by the attributes of old or of stable conventions."""
    return "http.request.method" in span.attributes or "http.method" in span.attributes


def is_rpc(span: Span) -> bool:
    """Whether a span stands for a call over Callosum."""
    return RPC_SYSTEM_NAME in span.attributes


def is_background(span: Span) -> bool:
    """Whether a span is the root of a background run.

    That is a run's own span, or the handling of a timer's event: these are noise, of which the sending makes no span
    and the handling one only when there was something to do.
    """
    if span.parent_span_id:
        return False
    if span.kind == "consumer":
        return not span.links and str(span.attributes.get(_EVENT_NAME, "")).startswith(_TIMER_EVENTS)
    return span.attributes.get(ATTRIBUTE_ORIGIN_DETAIL) == ORIGIN_BACKGROUND


def status_code(span: Span) -> int:
    """The HTTP status code on a span, or 0."""
    code = span.attributes.get("http.response.status_code", span.attributes.get("http.status_code", 0))
    return code if isinstance(code, int) else 0


def overlapping(spans: Sequence[Span]) -> bool:
    """Whether two of the spans were open at the same time: one operation that was counted twice."""
    ordered = sorted(spans, key=lambda span: span.start_ns)
    return any(later.start_ns < earlier.end_ns for earlier, later in pairwise(ordered))
