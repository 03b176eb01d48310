# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""RPC out, RPC in."""

from collections.abc import Iterator

from otel_backendai.desk.model import Span
from tests.realstack.matrix.observation import Expectation, Observation, component_of, request_id_of
from tests.realstack.matrix.sentences import nothing_expected, some
from tests.realstack.matrix.span_tree import SpanTree, is_rpc


def rpc_out(expected: Expectation, _: Observation, tree: SpanTree) -> list[str]:
    """Each caller has CLIENT spans under the client's request IDs, and the called component continued every one."""
    problems = nothing_expected(expected.rpc)
    for caller, called in expected.rpc:
        spans = [span for span in tree.of(caller, "client") if is_rpc(span) and tree.in_step(span)]
        if not spans:
            problems.append(f"{caller}: no CLIENT span under a request ID of the client")
        problems += some(
            f"{caller}: {span.name} was not continued by {called}"
            for span in spans
            if not any(is_rpc(below) for below in tree.continued(span, called))
        )
    return problems


def rpc_in(expected: Expectation, _: Observation, tree: SpanTree) -> list[str]:
    """Each call has one SERVER span, below the caller's CLIENT span, under its request ID; calls of timers too."""
    problems = nothing_expected(expected.rpc)
    for caller, called in expected.rpc:
        spans = [span for span in tree.of(called, "server") if is_rpc(span)]
        if not any(tree.in_step(span) for span in spans):
            problems.append(f"{called}: no SERVER span under a request ID of the client")
        problems += some(
            f"{called}: {span.name} {problem}" for span in spans for problem in _arrival_problems(span, caller, tree)
        )
    return problems


def _arrival_problems(span: Span, caller: str, tree: SpanTree) -> Iterator[str]:
    above = tree.parent(span)
    if above is None or component_of(above) != caller or above.kind != "client":
        yield f"has no CLIENT span of {caller} above it"
        return
    if not request_id_of(span) or request_id_of(above) != request_id_of(span):
        yield "has not the request ID of its caller"
    if tree.is_repeated(span) or sum(other.kind == "server" for other in tree.children(above)) > 1:
        yield "has two SERVER spans"
