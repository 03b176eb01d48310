# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Log records: at the receiver, and in the files that Backend.AI's own relay writes."""

from tests.realstack.matrix.observation import Expectation, Observation, component_of, named
from tests.realstack.matrix.sentences import nothing_expected, some
from tests.realstack.matrix.span_tree import SpanTree


def log_records(expected: Expectation, observation: Observation, _: SpanTree) -> list[str]:
    """Each component has a log record at the receiver and a line in its file with a request ID of the client.

    A record that was made in a client's trace names its request ID.
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
    return problems
