# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Log records: at the receiver, and in the files that Backend.AI's own relay writes, as text and as JSON."""

from collections.abc import Iterator

from otel_backendai.names import LOG_REQUEST_ID, LOG_TRACE_ID
from tests.realstack.matrix.observation import Expectation, Observation, component_of, named
from tests.realstack.matrix.sentences import nothing_expected, some
from tests.realstack.matrix.span_tree import SpanTree


def log_records(expected: Expectation, observation: Observation, _: SpanTree) -> list[str]:
    """Each component has a log record at the receiver and a line in either file with a request ID of the client.

    A record and a JSON line that were made in a client's trace name its request ID.
    """
    problems = nothing_expected(expected.log_records)
    steps = {step.request_id: step for step in observation.steps}
    by_trace = {step.trace_id: step for step in observation.steps}
    for component in expected.log_records:
        records = [record for record in observation.logs if component_of(record) == component]
        ids = [(record, named(record)) for record in records]
        if not any(name in steps and record.trace_id == steps[name].trace_id for record, name in ids):
            problems.append(f"{component}: no log record at the receiver with a request ID and the trace of the client")
        problems += some(
            f"{component}: a record of {record.logger} is in the client's trace without its request ID"
            for record, name in ids
            if record.trace_id in by_trace and name != by_trace[record.trace_id].request_id
        )
        if not any(request_id in line for line in observation.lines.get(component, ()) for request_id in steps):
            problems.append(f"{component}: no line in its log file with a request ID of the client")
        problems += some(_of_json_lines(component, observation))
    return problems


def _of_json_lines(component: str, observation: Observation) -> Iterator[str]:
    steps = {step.request_id: step.trace_id for step in observation.steps}
    by_trace = {trace_id: request_id for request_id, trace_id in steps.items()}
    lines = [
        (str(line.get(LOG_REQUEST_ID)), str(line.get(LOG_TRACE_ID)))
        for line in observation.json_lines.get(component, ())
    ]
    if not all(observation.json_lines.get(component, ())):
        yield f"{component}: a line of its JSON log file is no object"
    if not any(steps.get(request_id) == trace_id for request_id, trace_id in lines):
        yield f"{component}: no line in its JSON log file with a request ID and the trace of the client"
    if any(trace_id in by_trace and request_id != by_trace[trace_id] for request_id, trace_id in lines):
        yield f"{component}: a line in its JSON log file names the client's trace without its request ID"
    as_text = sum(
        any(f"[{LOG_REQUEST_ID}={request_id}" in line for request_id in steps)
        for line in observation.lines.get(component, ())
    )
    as_json = sum(request_id in steps for request_id, _ in lines)
    if as_json != as_text:
        yield f"{component}: {as_text} lines of its log file have a request ID of the client, {as_json} of its JSON"
