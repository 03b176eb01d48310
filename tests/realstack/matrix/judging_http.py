# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""HTTP in, HTTP out, WebSocket."""

from otel_backendai.desk.model import Span
from tests.realstack.matrix.judging_responses import responses
from tests.realstack.matrix.observation import Expectation, Observation, Step, component_of
from tests.realstack.matrix.sentences import nothing_expected, some
from tests.realstack.matrix.span_tree import SpanTree, is_http, overlapping, status_code

# What must not arrive at a user's program, as the scenario notes it: ``Name=value``.
_OURS = ("traceparent=", "tracestate=", "baggage=", "x-backendai-requestid=")


def http_in(expected: Expectation, observation: Observation, tree: SpanTree) -> list[str]:
    """Each component has SERVER spans under the client's request IDs, one per call, below the caller's CLIENT span.

    And each response that the client got names its request ID.
    """
    problems = [*nothing_expected(expected.http_in), *responses(expected, observation, tree)]
    traces = {step.trace_id for step in observation.steps}
    for component in expected.http_in:
        spans = [span for span in tree.of(component, "server") if is_http(span)]
        problems += tree.foreign(component, "server")
        in_step = [span for span in spans if tree.in_step(span)]
        if not in_step:
            problems.append(f"{component}: no SERVER span under a request ID of the client")
        problems += some(
            f"{component}: {span.name} is in the client's trace without its request ID"
            for span in spans
            if span.trace_id in traces and not tree.in_step(span)
        )
        problems += some(
            f"{component}: {span.name} has no CLIENT span of its caller above it"
            for span in in_step
            if (above := tree.parent(span)) is None or above.kind != "client" or component_of(above) == component
        )
        problems += some(
            f"{component}: {span.name} has two SERVER spans"
            for span in in_step
            if tree.is_repeated(span) or overlapping([span, *(other for other in in_step if _same_call(span, other))])
        )
    return problems


def http_out(expected: Expectation, observation: Observation, tree: SpanTree) -> list[str]:
    """Each caller has CLIENT spans that the called component continued under the client's request ID.

    And a user's program got nothing of it.
    """
    problems = nothing_expected(expected.http_out)
    problems += [
        f"{caller} -> {called}: no CLIENT span under a request ID of the client that {called} continued"
        for caller, called in expected.http_out
        if not any(
            is_http(span) and tree.in_step(span) and tree.continued(span, called) for span in tree.of(caller, "client")
        )
    ]
    problems += [
        f"{step.title}: the user's program got {', '.join(ours)}"
        for step in observation.steps
        if (ours := ours_among_arrived(step))
    ]
    return problems


def ours_among_arrived(step: Step) -> list[str]:
    """The names of our headers among those that a user's program got."""
    arrived = step.note.get("arrived")
    return [
        str(header).partition("=")[0]
        for header in (arrived if isinstance(arrived, list) else [])
        if str(header).lower().startswith(_OURS) or step.request_id in str(header)
    ]


def websocket(expected: Expectation, _: Observation, tree: SpanTree) -> list[str]:
    """Each pair has a CLIENT and a SERVER span of an upgrade (101) under the client's request ID."""
    return nothing_expected(expected.websocket) + [
        f"{caller} -> {called}: no upgrade that kept request ID and trace"
        for caller, called in expected.websocket
        if not any(tree.in_step(span) for span in upgrades(tree, caller, called))
    ]


def upgrades(tree: SpanTree, caller: str, called: str) -> list[Span]:
    """The SERVER spans of ``called`` that stand for an upgrade (101) asked for by ``caller``."""
    return [
        span
        for span in tree.of(called, "server")
        if (above := tree.parent(span)) is not None
        and above.kind == "client"
        and component_of(above) == caller
        # A handler that is cancelled because the caller hung up has no status to tell.
        and 101 in (status_code(span), status_code(above))
    ]


def _same_call(span: Span, other: Span) -> bool:
    return other is not span and (other.trace_id, other.parent_span_id) == (span.trace_id, span.parent_span_id)
