# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""`otel-backendai trace` against a real Jaeger that got the demo's spans from a Collector with `collector-config.yaml`.

The Collector gives the same spans to a desk. Its log records go elsewhere: Jaeger stores none, and so what is printed
must be the same to the last character. In the JSON objects differ only `source` and `endpoint`, which say whom the
command asked, nanoseconds (Jaeger keeps microseconds), and lists in attributes (Jaeger keeps their JSON text).
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from otel_backendai.desk.server import Desk
from tests.backends.compare import running_desk
from tests.backends.demo_run import run_demo, told_traces
from tests.backends.servers import JSON, Collector, Jaeger, eventually, run_collector, run_jaeger
from tests.backends.test_demo import SESSION_SERVICES
from tests.integration.otlp_receiver import ReceivedLog, Receiver, otlp_receiver

COMMAND = (sys.executable, "-c", "from otel_backendai.cli import main; main()", "trace")
TIMEOUT = 60
OVERLAY = Path(__file__).with_name("also-to-a-desk.yaml")
REQUEST_ID = "req-backends-trace"


@dataclass(frozen=True)
class Filled:
    """Jaeger and desk behind one Collector, with the demo's spans in both.

    Args:
        loki: What stands for Loki; it has the demo's log records.
        session_trace: The ID of the trace of the session creation.
    """

    jaeger: Jaeger
    desk: Desk
    collector: Collector
    loki: Receiver
    session_trace: str


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    status: int
    output: str
    errors: str


def trace(*arguments: str) -> Ended:
    """Run `otel-backendai trace` to its end."""
    ended = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
        env={**os.environ, "http_proxy": "http://127.0.0.1:9"},
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture(scope="module")
def filled(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """Both backends after one run of the demo, which has ended, and every span of it in both."""
    directories = [tmp_path_factory.mktemp(name) for name in ("jaeger", "collector", "demo")]
    with (
        running_desk() as desk,
        otlp_receiver() as loki,
        run_jaeger(binaries, directories[0]) as jaeger,
        run_collector(
            binaries, directories[1], jaeger.otlp_grpc, OVERLAY, DESK_ENDPOINT=desk.url, LOKI_ENDPOINT=loki.url
        ) as collector,
    ):
        told = told_traces(run_demo(directories[2], REQUEST_ID, collector.otlp_http), REQUEST_ID)
        expected = {span["span_id"] for told_trace in told.values() for span in told_trace["spans"]}

        # A desk answers Jaeger's query API.
        places = (jaeger, Jaeger(desk.url, "", desk.url))

        def stored() -> bool:
            at_jaeger, at_desk = (
                {span["spanID"] for found in place.find(REQUEST_ID).values() for span in found["spans"]}
                for place in places
            )
            all_known = all(set(place.services()) == SESSION_SERVICES | {"storage-proxy"} for place in places)
            return all_known and expected <= at_jaeger == at_desk

        eventually(stored, f"the spans of {list(told)}")
        (session_trace,) = (
            trace_id
            for trace_id, told_trace in told.items()
            if {span["service"] for span in told_trace["spans"]} == SESSION_SERVICES
        )
        yield Filled(jaeger, desk, collector, loki, session_trace)


def as_jaeger_keeps(document: JSON) -> JSON:
    """What of the desk's JSON object Jaeger can have; `source` and `endpoint` taken out."""
    traces = [
        {**found, "spans": [_span_as_jaeger_keeps(span) for span in found["spans"]]} for found in document["traces"]
    ]
    kept = {key: value for key, value in document.items() if key not in ("source", "endpoint")}
    return {**kept, "traces": traces}


def _span_as_jaeger_keeps(span: JSON) -> JSON:
    start_ns = span["start_ns"] // 1000 * 1000
    return {
        **span,
        "start_ns": start_ns,
        "end_ns": start_ns + (span["end_ns"] - span["start_ns"]) // 1000 * 1000,
        "attributes": _texts_of_lists(span["attributes"]),
        "resource": _texts_of_lists(span["resource"]),
        "events": [{**event, "time_ns": event["time_ns"] // 1000 * 1000} for event in span["events"]],
    }


def _texts_of_lists(attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        key: json.dumps(value, separators=(",", ":"), ensure_ascii=False) if isinstance(value, list) else value
        for key, value in attributes.items()
    }


def both(filled: Filled, identifier: str, *more: str) -> tuple[str, str]:
    """What the command prints about the identifier from Jaeger, and what from the desk; both found something."""
    ended = [
        trace(identifier, "--source", "jaeger", "--endpoint", filled.jaeger.query_url, *more),
        trace(identifier, "--source", "desk", "--endpoint", filled.desk.url, *more),
    ]
    assert [(end.status, end.errors) for end in ended] == [(0, ""), (0, "")]
    return ended[0].output, ended[1].output


def test_same_tree_from_jaeger_as_from_the_desk(filled: Filled) -> None:
    """By request ID: the same to the last character; all traces, no gap."""
    from_jaeger, from_desk = both(filled, REQUEST_ID)
    assert from_jaeger == from_desk
    assert "agent  SERVER  create_kernel" in from_jaeger
    assert from_jaeger.count("\ntrace ") + from_jaeger.startswith("trace ") == 3
    assert "parent missing" not in from_jaeger
    assert "\nreached: client, manager, " in from_jaeger
    assert "\nnot reached: none\n" in from_jaeger


def test_same_object_from_jaeger_as_from_the_desk(filled: Filled) -> None:
    """`--json` by request ID: span by span and field by field, but for what Jaeger does not keep."""
    from_jaeger, from_desk = (json.loads(output) for output in both(filled, REQUEST_ID, "--json"))
    assert (from_jaeger["source"], from_jaeger["endpoint"]) == ("jaeger", filled.jaeger.query_url)
    assert (from_jaeger["found_as"], from_jaeger["cut"], from_jaeger["logs"]) == ("request", False, [])
    assert [found["gaps"] for found in from_jaeger["traces"]] == [[], [], []]
    assert as_jaeger_keeps(from_jaeger) == as_jaeger_keeps(from_desk)
    # What is compared is as Jaeger gave it: the form that both are brought to changes nothing of its answer.
    assert as_jaeger_keeps(from_jaeger)["traces"] == from_jaeger["traces"]


def test_by_trace_id(filled: Filled) -> None:
    """One trace, the whole of it, in capitals too; the same from both."""
    from_jaeger, from_desk = both(filled, filled.session_trace.upper())
    assert from_jaeger == from_desk
    assert from_jaeger.startswith(f"trace {filled.session_trace}  ")
    assert from_jaeger.count("trace ") == 1
    found = json.loads(both(filled, filled.session_trace, "--json")[0])
    assert (found["found_as"], [item["trace_id"] for item in found["traces"]]) == ("trace", [filled.session_trace])
    assert set(found["components"]["reached"]) == SESSION_SERVICES
    assert found["components"]["not_reached"] == ["storage-proxy"]


def test_by_session_and_kernel_id(filled: Filled) -> None:
    """The demo's RPC spans carry both: each finds the whole trace of the session creation; the same from both."""
    (created,) = filled.jaeger.get(f"/api/traces/{filled.session_trace}")["data"]
    tags = [{tag["key"]: tag["value"] for tag in span["tags"]} for span in created["spans"]]
    for found_as in ("session", "kernel"):
        (identifier,) = {named[f"backendai.{found_as}.id"] for named in tags if f"backendai.{found_as}.id" in named}
        from_jaeger, from_desk = both(filled, identifier)
        assert from_jaeger == from_desk
        assert from_jaeger.startswith(f"trace {filled.session_trace}  ")
        found = json.loads(both(filled, identifier, "--json")[0])
        assert (found["found_as"], len(found["traces"])) == (found_as, 1)
        assert len(found["traces"][0]["spans"]) == len(created["spans"])


def test_source_is_guessed(filled: Filled) -> None:
    """Without `--source` the endpoint's answers tell what it is."""
    for endpoint, kind in ((filled.jaeger.query_url, "jaeger"), (filled.desk.url, "desk")):
        ended = trace(REQUEST_ID, "--json", "--endpoint", endpoint)
        assert (ended.status, ended.errors) == (0, "")
        assert json.loads(ended.output)["source"] == kind


@pytest.mark.parametrize("identifier", ["req-of-nobody", "f" * 32, "4f3c2b1a-0000-4000-8000-000000000000"])
def test_nothing_found(filled: Filled, identifier: str) -> None:
    """Status 1, nothing on standard output, and one line that says where was looked and what to check."""
    ended = trace(identifier, "--source", "jaeger", "--endpoint", filled.jaeger.query_url)
    assert (ended.status, ended.output) == (1, "")
    assert ended.errors.startswith(
        f"Nothing found: no traces of {identifier} in the last 24h at {filled.jaeger.query_url}. Check the ID "
    )
    assert "known here: agent, app-proxy, client, legacy-agent, manager, storage-proxy, wsproxy." in ended.errors
    assert ended.errors.count("\n") == 1


def test_wrong_kind_of_server(filled: Filled) -> None:
    """Jaeger asked as a desk, and the ports of Jaeger and Collector that receive, are named as what they are not."""
    cases = [
        (("--source", "desk", "--endpoint", filled.jaeger.query_url), "is no desk"),
        (("--endpoint", filled.jaeger.otlp_http), "is no desk and no Jaeger query API"),
        (("--source", "jaeger", "--endpoint", filled.jaeger.otlp_http), "is no Jaeger query API"),
        (("--source", "jaeger", "--endpoint", filled.collector.otlp_http), "is no Jaeger query API"),
    ]
    for arguments, told in cases:
        ended = trace(REQUEST_ID, *arguments)
        assert (ended.status, ended.output) == (2, "")
        # A Jaeger answers its page to what it does not know.
        status = 200 if filled.jaeger.query_url in arguments else 404
        assert ended.errors == f"Error: {arguments[-1]} {told} (it answered {status})\n"
    # gRPC speaks no HTTP/1.1: told in one line too, whatever the reason is called.
    ended = trace(REQUEST_ID, "--source", "jaeger", "--endpoint", f"http://{filled.collector.otlp_grpc}")
    assert (ended.status, ended.output, ended.errors.count("\n")) == (2, "", 1)
    assert ended.errors.startswith(f"Error: http://{filled.collector.otlp_grpc} ")


def test_log_records_of_all_components(filled: Filled) -> None:
    """They leave by the Collector's logs pipeline with request, trace and span ID; each ID is of a span in Jaeger."""
    found = filled.jaeger.find(REQUEST_ID)
    spans = {
        (found_trace["processes"][span["processID"]]["serviceName"], trace_id, span["spanID"])
        for trace_id, found_trace in found.items()
        for span in found_trace["spans"]
    }
    services = SESSION_SERVICES | {"storage-proxy"}

    def of_request() -> list[ReceivedLog]:
        made = [record for record in filled.loki.logs if record.attributes.get("backendai.request.id") == REQUEST_ID]
        arrived = {record.resource["service.name"] for record in made} == services
        return made if arrived and {record.trace_id for record in made} >= set(found) else []

    records = eventually(of_request, "log records of all components in all traces")
    outside = {record.resource["service.name"] for record in records if not record.span_id}
    # The client says what it is about to do before there is a span.
    assert outside <= {"client"}
    correlated = {(record.resource["service.name"], record.trace_id, record.span_id) for record in records} - {
        ("client", "", "")
    }
    assert correlated <= spans
    assert {service for service, _, _ in correlated} == services - outside
