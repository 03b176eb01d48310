# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Our propagators by name in ``OTEL_PROPAGATORS``, in a process that nothing else of ours has touched."""

import json

import pytest

from tests.unit.conftest import NO_HOPS, output_of, run_python

ALL = "tracecontext,baggage,backendai,backendai_rpc,backendai_event"
ROUND_TRIPS = """
import json
from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context
span = trace.NonRecordingSpan(trace.SpanContext(1 << 100, 1 << 50, True, trace.TraceFlags(1)))
context = trace.set_span_in_context(span, baggage.set_baggage("backendai.request.id", "req-1", Context()))
answer = {}
for name, carrier in {
    "http": {}, "rpc": {"args": [], "kwargs": {}}, "event": {"name": "x", "args": b"", "source": "s"},
    "metadata": {"source": "x", "timestamp": "y"},
}.items():
    propagate.inject(carrier, context)
    found = propagate.extract(carrier, Context())
    answer[name] = [
        baggage.get_baggage("backendai.request.id", found),
        trace.get_current_span(found).get_span_context().span_id == 1 << 50,
        sorted(carrier),
    ]
print(json.dumps(answer))
"""


def round_trips(propagators: str, **environment: str) -> dict[str, tuple[str | None, bool, list[str]]]:
    """Per kind of carrier: the request ID that came back, whether the trace did, and the carrier's keys."""
    answer = output_of(
        ROUND_TRIPS,
        True,
        OTEL_PROPAGATORS=propagators,
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
        **environment,
    )
    return {name: (value[0], value[1], value[2]) for name, value in json.loads(answer.splitlines()[-1]).items()}


@pytest.mark.parametrize("disabled", ["", NO_HOPS], ids=["with the hops", "without the hops"])
def test_beside_the_stock_ones(disabled: str) -> None:
    """HTTP headers, an RPC body, an event and flat metadata bring request ID and trace back through one composite."""
    answer = round_trips(ALL, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=disabled)
    assert {name: value[:2] for name, value in answer.items()} == dict.fromkeys(answer, ("req-1", True))
    assert {"X-Request-ID", "X-BackendAI-RequestID", "traceparent"} <= set(answer["http"][2])
    assert {"headers", "request_id"} <= set(answer["rpc"][2])
    assert "otel" in answer["event"][2]


@pytest.mark.parametrize(
    ("name", "carriers"),
    [
        ("backendai", {"http"}),
        ("backendai_rpc", {"rpc"}),
        ("backendai_event", {"event", "metadata"}),
    ],
)
def test_each_alone(name: str, carriers: set[str]) -> None:
    """Each works without the others and keeps off the carriers of the others."""
    answer = round_trips(name, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=NO_HOPS)
    for carrier in carriers:
        assert answer[carrier][0] == "req-1"
    if name != "backendai":
        assert answer["http"][2] == []
    else:
        # Plain headers are what any dictionary may be: the request ID is found again there.
        assert all(value[0] == "req-1" for value in answer.values())
    if name == "backendai_rpc":
        assert answer["event"][2] == ["args", "headers", "name", "request_id", "source"]
        assert answer["metadata"][2] == ["source", "timestamp"]


def test_the_default() -> None:
    """Without our names nothing of ours is carried: entry points alone change nobody's wire."""
    assert round_trips("tracecontext,baggage")["http"] == ("req-1", True, ["baggage", "traceparent"])


def test_none() -> None:
    """`none` is as it is without us: nothing is carried, or an older train refuses the name."""
    code = "from opentelemetry import propagate; print(sorted(propagate.get_global_textmap().fields))"
    alone = run_python(code, OTEL_PROPAGATORS="none")
    beside = run_python(
        code, True, OTEL_PROPAGATORS="none", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="backendai_http_client"
    )
    assert (beside.returncode, beside.stdout) == (alone.returncode, alone.stdout)


def test_without_the_launcher() -> None:
    """`import opentelemetry.propagate` alone loads them, half-way through OpenTelemetry's own import."""
    code = "import opentelemetry.propagate as p; print(sorted(p.get_global_textmap().fields))"
    fields = output_of(code, OTEL_PROPAGATORS=ALL)
    for field in ("X-Request-ID", "X-BackendAI-RequestID", "headers", "request_id", "otel", "traceparent", "baggage"):
        assert f"'{field}'" in fields
