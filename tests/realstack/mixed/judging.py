# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What mixed clusters have to carry. Like all judgement: data in, sentences out, none when it is green."""

import dataclasses
from collections.abc import Sequence

from tests.realstack.matrix.judging import judge
from tests.realstack.matrix.judging_events import event_in, event_out
from tests.realstack.matrix.judging_http import http_in, http_out
from tests.realstack.matrix.judging_logs import log_records
from tests.realstack.matrix.observation import Expectation, Observation, component_of, request_id_of
from tests.realstack.matrix.sentences import some
from tests.realstack.matrix.span_tree import SpanTree, is_rpc


def nothing_from(plain: Sequence[str], observation: Observation) -> list[str]:
    """Without the plugin a component sends nothing; else the cluster is not the one that it is called."""
    senders = {component_of(span) for span in observation.spans} | {component_of(record) for record in observation.logs}
    return [f"{name} sent spans or log records, and should be without the plugin" for name in plain if name in senders]


def manager_alone(_: Expectation, observation: Observation) -> list[str]:
    """Requests to the manager, its own events and records, and its calls to an agent that does not continue them.

    What reaches a user's program is not asked for: an app proxy without the plugin passes on all that the client sends.
    """
    observation = dataclasses.replace(
        observation, steps=[dataclasses.replace(step, note={}) for step in observation.steps]
    )
    tree = SpanTree(observation)
    expected = Expectation(
        http_in=["manager"],
        http_out=[("client", "manager")],
        event_out=["manager"],
        event_in=["manager"],
        log_records=["manager"],
    )
    problems = [
        problem
        for judged in (http_in, http_out, event_out, event_in, log_records)
        for problem in judged(expected, observation, tree)
    ]
    if not any(is_rpc(span) and tree.in_step(span) for span in tree.of("manager", "client")):
        problems.append("manager: no CLIENT span of a call under a request ID of the client")
    return problems


def agent_alone(expected: Expectation, observation: Observation) -> list[str]:
    """Calls as SERVER spans with a request ID, the client's where the release carries it, and events below them."""
    tree = SpanTree(observation)
    calls = [span for span in tree.of("agent", "server") if is_rpc(span)]
    problems = [] if calls else ["agent: no SERVER span of a call"]
    problems += some(f"agent: {span.name} has no request ID" for span in calls if not request_id_of(span))
    problems += some(f"agent: {span.name} has two SERVER spans" for span in calls if tree.is_repeated(span))
    known = {step.request_id for step in observation.steps}
    if expected.native_rpc and not any(request_id_of(span) in known for span in calls):
        problems.append("agent: no SERVER span under a request ID of the client")
    if not any(tree.has_cause(span) for span in tree.of("agent", "producer")):
        problems.append("agent: no PRODUCER span below a call or a background run, under its request ID")
    return problems


def agent_beside_upstreams_tracing(expected: Expectation, observation: Observation) -> list[str]:
    """The same, and the SERVER spans continue the ``traceparent`` of the release's own RPC."""
    tree = SpanTree(observation)
    problems = agent_alone(expected, observation)
    calls = [span for span in tree.of("agent", "server") if is_rpc(span)]
    if not any(tree.in_step(span) and span.parent_span_id for span in calls):
        problems.append("agent: no SERVER span that continues a trace of the client under its request ID")
    return problems


def all_but(component: str, expected: Expectation, observation: Observation) -> list[str]:
    """Every hop of the matrix that does not touch ``component``."""
    cells = judge(_without(component, expected), observation)
    return [f"{hop}: {problem}" for hop, cell in cells.items() for problem in cell.problems]


def _without(component: str, expected: Expectation) -> Expectation:
    def names(entries: Sequence[str]) -> list[str]:
        return [name for name in entries if name != component]

    def pairs(entries: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        return [pair for pair in entries if component not in pair]

    return dataclasses.replace(
        expected,
        http_in=names(expected.http_in),
        http_out=pairs(expected.http_out),
        websocket=pairs(expected.websocket),
        rpc=pairs(expected.rpc),
        event_out=names(expected.event_out),
        event_in=names(expected.event_in),
        background=[
            entry for entry in expected.background if component not in ((entry,) if isinstance(entry, str) else entry)
        ],
        log_records=names(expected.log_records),
    )
