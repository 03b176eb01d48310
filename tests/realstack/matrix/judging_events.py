# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Event out, event in, background."""

from collections.abc import Sequence

from otel_backendai.desk.model import Span
from otel_backendai.names import INSTRUMENTATION_NAME
from tests.realstack.matrix.observation import Expectation, Observation, component_of, request_id_of
from tests.realstack.matrix.sentences import nothing_expected, some
from tests.realstack.matrix.span_tree import SpanTree, is_background

_BACKGROUND_SCOPE = f"{INSTRUMENTATION_NAME}.background"
_DEFERRED_SCOPE = f"{INSTRUMENTATION_NAME}.deferred"


def event_out(expected: Expectation, _: Observation, tree: SpanTree) -> list[str]:
    """Each component has PRODUCER spans below what made it send, under its ID; one of all is under a client's ID."""
    problems = nothing_expected(expected.event_out)
    problems += [
        f"{component}: no PRODUCER span below a request, a call or a background run, under its request ID"
        for component in expected.event_out
        if not any(request_id_of(span) and tree.has_cause(span) for span in tree.of(component, "producer"))
    ]
    problems += [sentence for component in expected.event_out for sentence in tree.foreign(component, "producer")]
    if not any(span.kind == "producer" and tree.in_step(span) for span in tree.spans):
        problems.append("no PRODUCER span under a request ID of the client")
    return problems


def event_in(expected: Expectation, _: Observation, tree: SpanTree) -> list[str]:
    """Each component has CONSUMER spans that continue or link a PRODUCER span, and all of these keep its request ID."""
    problems = nothing_expected(expected.event_in)
    for component in expected.event_in:
        received = [
            (span, sender)
            for span in tree.of(component, "consumer")
            for sender in [tree.parent(span), *tree.linked(span)]
            if sender is not None and sender.kind == "producer"
        ]
        if not received:
            problems.append(f"{component}: no CONSUMER span that names a PRODUCER span")
        problems += some(
            f"{component}: {span.name} has not the request ID that {component_of(sender)} sent"
            for span, sender in received
            if not request_id_of(span) or request_id_of(span) != request_id_of(sender)
        )
        problems += tree.foreign(component, "consumer")
        problems += some(
            f"{component}: the PRODUCER span of {span.name} never arrived"
            for span in tree.of(component, "consumer")
            if tree.in_step(span) and tree.parent(span) is None and len(tree.linked(span)) < max(1, len(span.links))
        )
        problems += some(
            f"{component}: {span.name} has two CONSUMER spans" for span, _sender in received if tree.is_repeated(span)
        )
    consumers = [span for span in tree.spans if span.kind == "consumer"]
    if not any(tree.in_step(one) for span in consumers for one in [span, *tree.linked(span)]):
        problems.append("no CONSUMER span under a request ID of the client")
    return problems


def background(expected: Expectation, observation: Observation, tree: SpanTree) -> list[str]:
    """What a component's timers do reaches the other component of the pair, in a trace that tells why.

    That is the trace of the request which left the work, or a run's own: a root under an ID of its own. Of a component
    without another, whose runs are started by calls: each is below what started it, under its ID.
    """
    problems = nothing_expected(expected.background)
    for entry in expected.background:
        problems += (
            _started_by_others(entry, tree) if isinstance(entry, str) else _done_by_timers(*entry, observation, tree)
        )
    return problems


def _done_by_timers(component: str, reached: str, observation: Observation, tree: SpanTree) -> list[str]:
    known = {step.request_id for step in observation.steps}
    runs = [span for kind in ("internal", "consumer") for span in tree.of(component, kind) if is_background(span)]
    ids = [request_id_of(run) for run in runs]
    left = [span for span in tree.of(component, "internal") if span.scope == _DEFERRED_SCOPE]
    if not runs and not left:
        return [f"{component}: no root span of a background run, and no work that a request left"]
    problems = []
    if "" in ids or len(ids) != len(set(ids)) or known & set(ids):
        problems.append(f"{component}: background runs without request IDs of their own")
    problems += some(
        f"{component}: {work.name} is not in the trace of the request that left it"
        for work in left
        if request_id_of(work) in known and not tree.in_step(work)
    )
    if not any(_is_below(span, left, ids, tree) for span in tree.of(reached, "server")):
        problems.append(f"{component}: no background run and no work that a request left in which {reached} was called")
    return problems


def _is_below(call: Span, left: Sequence[Span], ids: Sequence[str], tree: SpanTree) -> bool:
    if request_id_of(call) in ids:
        return True
    return tree.in_step(call) and any(work in left for work in tree.above(call))


def _started_by_others(component: str, tree: SpanTree) -> list[str]:
    runs = [span for span in tree.of(component, "internal") if span.scope == _BACKGROUND_SCOPE]
    started = [(run, above) for run in runs if (above := tree.parent(run)) is not None]
    if not started:
        return [f"{component}: no background run below what started it"]
    return some(
        f"{component}: {run.name} has not the request ID of what started it"
        for run, above in started
        if not request_id_of(run) or request_id_of(run) != request_id_of(above)
    )
