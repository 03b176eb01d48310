# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The demo's requests in a real Jaeger: demo, Collector with `collector-config.yaml`, Jaeger, found by request ID."""

import json
from pathlib import Path

from tests.backends.compare import Both, running_desk
from tests.backends.demo_run import found_traces, run_demo, told_traces
from tests.backends.servers import JSON, Collector, Jaeger, eventually

# What the session flow reaches. The storage-proxy belongs to the upload flow, a trace of its own.
SESSION_SERVICES = {"client", "manager", "legacy-agent", "agent", "app-proxy", "wsproxy"}


def test_session_creation_is_complete_in_jaeger(collector: Collector, jaeger: Jaeger, tmp_path: Path) -> None:
    """A search by request ID over all services finds every trace of the request, each span with name and parent."""
    request_id = "req-backends-1"
    told = told_traces(run_demo(tmp_path, request_id, collector.otlp_http), request_id)
    assert told
    found = found_traces(jaeger, request_id, told)
    assert set(found) == set(told)
    for trace_id, trace in told.items():
        expected = {(span["span_id"], span["name"], span["parent_span_id"] or "") for span in trace["spans"]}
        arrived = {
            (span["spanID"], span["operationName"], next((r["spanID"] for r in span["references"]), ""))
            for span in found[trace_id]["spans"]
        }
        # The cluster still works after the account was given: Jaeger may know more, never less.
        assert expected <= arrived
    services = [{process["serviceName"] for process in trace["processes"].values()} for trace in found.values()]
    assert SESSION_SERVICES in services


def test_desk_shows_what_jaeger_shows(collector: Collector, jaeger: Jaeger, tmp_path: Path) -> None:
    """Of the demo's requests a desk, which passes all on to the Collector, answers the same as Jaeger behind it."""
    request_id = "req-backends-2"
    with running_desk(forward_to=collector.otlp_http) as desk:
        told = told_traces(run_demo(tmp_path, request_id, desk.url), request_id)
        both = Both(desk.url, jaeger)
        assert told
        for trace_id in told:
            path = f"/api/traces/{trace_id}"

            def ask(path: str = path) -> tuple[JSON, JSON] | None:
                desk_answer, jaeger_answer = both.answers(path)
                return (desk_answer, jaeger_answer) if _spans(desk_answer) == _spans(jaeger_answer) > 0 else None

            desk_answer, jaeger_answer = eventually(ask, f"trace {trace_id}") or ({}, {})
            assert desk_answer == jaeger_answer
        for service in desk.store.services():
            tags = json.dumps({"backendai.request.id": request_id})
            desk_answer, jaeger_answer = both.answers("/api/traces", service=service, tags=tags)
            assert desk_answer == jaeger_answer


def _spans(answer: JSON) -> int:
    return sum(len(trace["spans"]) for trace in answer["data"] or [])
