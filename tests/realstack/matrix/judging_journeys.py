# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Journeys: what is one thing to a user is one trace under one request ID, up to the user's program."""

from collections.abc import Iterator, Sequence

from otel_backendai.desk.model import LogLine, Span
from tests.realstack.matrix.judging_http import ours_among_arrived, upgrades
from tests.realstack.matrix.observation import Journey, Observation, Step, component_of, named
from tests.realstack.matrix.sentences import some
from tests.realstack.matrix.span_tree import SpanTree, is_http, status_code

# The logger of aiohttp's access log, in a line of any of Backend.AI's formats.
_ACCESS = "aiohttp.access"


def journey(title: str, expected: Journey, observation: Observation, tree: SpanTree) -> list[str]:
    """The problems of a journey, none when it is green."""
    steps = [step for step in observation.steps if step.journey == title]
    names = {(step.request_id, step.trace_id) for step in steps}
    if len(names) != 1:
        return [f"the client went through it under {len(names)} request IDs"]
    ((request_id, trace_id),) = names
    spans = [span for span in tree.spans if span.trace_id == trace_id]
    return [
        *(f"{step.title}: {step.error}" for step in steps if step.error),
        *some(_in_other_traces([*tree.spans, *observation.logs], request_id, trace_id)),
        *some(_without_request_id([*spans, *observation.logs], request_id, trace_id)),
        *some(_roots(spans, tree)),
        *_calls(expected, spans, tree),
        *_lines(expected, observation, spans, request_id, trace_id),
        *_program(expected, steps),
    ]


def _in_other_traces(items: Sequence[Span | LogLine], request_id: str, trace_id: str) -> Iterator[str]:
    """Exactly one trace: nothing under the request ID is anywhere else."""
    for item in items:
        if named(item) == request_id and item.trace_id != trace_id:
            yield f"{component_of(item)}: {_what(item)} is under its request ID in another trace"


def _without_request_id(items: Sequence[Span | LogLine], request_id: str, trace_id: str) -> Iterator[str]:
    for item in items:
        if item.trace_id == trace_id and named(item) != request_id:
            yield f"{component_of(item)}: {_what(item)} is in its trace without its request ID"


def _roots(spans: Sequence[Span], tree: SpanTree) -> Iterator[str]:
    """The client's span is the only one without a parent."""
    for span in spans:
        if tree.parent(span) is None and component_of(span) != "client":
            yield f"{component_of(span)}: {span.name} has no parent that arrived"


def _calls(expected: Journey, spans: Sequence[Span], tree: SpanTree) -> Iterator[str]:
    for caller, called in expected.calls:
        clients = (span for span in spans if span.kind == "client" and component_of(span) == caller)
        if not any(tree.continued(span, called) for span in clients):
            yield f"{caller} -> {called}: no call that kept request ID and trace"
    for caller, called in expected.websocket:
        if not any(span in spans for span in upgrades(tree, caller, called)):
            yield f"{caller} -> {called}: no upgrade that kept request ID and trace"


def _lines(
    expected: Journey, observation: Observation, spans: Sequence[Span], request_id: str, trace_id: str
) -> Iterator[str]:
    """Each component has a record and a line with the ID, each line of the trace has it, each request is in the log."""
    for component in expected.components:
        records = [one for one in observation.logs if component_of(one) == component and one.trace_id == trace_id]
        if not records:
            yield f"{component}: no log record at the receiver in its trace"
        lines = observation.lines.get(component, ())
        if not any(request_id in line for line in lines):
            yield f"{component}: no line in its log file with its request ID"
        if any(trace_id in line and request_id not in line for line in lines):
            yield f"{component}: a line in its log file names its trace without its request ID"
        # aiohttp writes no line for a handler that is cancelled when its caller hangs up, as a WebSocket may;
        # a span without a status tells of another such handler.
        served = sum(
            is_http(span)
            and span.kind == "server"
            and component_of(span) == component
            and status_code(span) not in (0, 101)
            for span in spans
        )
        told = sum(request_id in line for line in lines if _ACCESS in line)
        # A component that keeps no access log has no such lines at all.
        if told < served and any(_ACCESS in line for line in lines):
            yield f"{component}: {told} of {served} requests are in its access log with its request ID"


def _program(expected: Journey, steps: Sequence[Step]) -> Iterator[str]:
    if expected.program and not any("arrived" in step.note for step in steps):
        yield "no step reached the user's program"
    for step in steps:
        if ours := ours_among_arrived(step):
            yield f"{step.title}: the user's program got {', '.join(ours)}"


def _what(item: Span | LogLine) -> str:
    return item.name if isinstance(item, Span) else f"a record of {item.logger}"
