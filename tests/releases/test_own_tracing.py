# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Backend.AI's own ``[otel]`` section beside ours: one provider, one SERVER span, its endpoint where none is named."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.releases.conftest import FAMILY

ROOT = Path(__file__).parents[2]
SERVER = 2
SERVICES = "opentelemetry.proto.collector"

pytestmark = pytest.mark.releases(since="25.8")


class Received:
    """Spans and log records that arrived over gRPC, with the resource of each."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.spans: list[tuple[Any, dict[str, str]]] = []
        self.logs: list[tuple[Any, dict[str, str]]] = []

    def of_kind(self, kind: int) -> list[Any]:
        """The spans of one kind."""
        return [span for span, _ in self.spans if span.kind == kind]

    def named(self, name: str) -> list[Any]:
        """The spans of one name."""
        return [span for span, _ in self.spans if span.name == name]


def plain(resource: Any) -> dict[str, str]:
    """The text attributes of a resource."""
    return {pair.key: pair.value.string_value for pair in resource.attributes}


@pytest.fixture
def received() -> Iterator[Received]:
    """An OTLP/gRPC receiver."""
    # By name: untyped, and there only beside the releases that bring them.
    grpc: Any = importlib.import_module("grpc")
    traces: Any = importlib.import_module(f"{SERVICES}.trace.v1.trace_service_pb2_grpc")
    logs: Any = importlib.import_module(f"{SERVICES}.logs.v1.logs_service_pb2_grpc")
    kept = Received()

    def messages(signal: str) -> Any:
        return importlib.import_module(f"{SERVICES}.{signal}.v1.{signal}_service_pb2")

    class Traces(traces.TraceServiceServicer):  # type: ignore[misc]  # untyped
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  # the service's name
            for group in request.resource_spans:
                for scope in group.scope_spans:
                    kept.spans += [(span, plain(group.resource)) for span in scope.spans]
            return messages("trace").ExportTraceServiceResponse()

    class Logs(logs.LogsServiceServicer):  # type: ignore[misc]  # untyped
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  # the service's name
            for group in request.resource_logs:
                for scope in group.scope_logs:
                    kept.logs += [(record, plain(group.resource)) for record in scope.log_records]
            return messages("logs").ExportLogsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    traces.add_TraceServiceServicer_to_server(Traces(), server)
    logs.add_LogsServiceServicer_to_server(Logs(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    kept.endpoint = f"http://127.0.0.1:{port}"
    server.start()
    yield kept
    server.stop(0).wait(5)


def run(endpoint: str, /, **environment: str) -> tuple[dict[str, Any], str]:
    """A component with this endpoint in its section: what it says of itself, and what it logged."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.releases.apps.section", endpoint, "plugin"],
        cwd=ROOT,
        env={**clean, "OTEL_BACKENDAI_COMPONENT": "manager", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_one_provider_and_one_server_span(received: Received) -> None:
    """The request answers 200 with one SERVER span; nothing of upstream's second pipeline is there, nor a warning."""
    said, logged = run(received.endpoint)
    assert said["status"] == 200
    assert said["processors"] == ["RequestIdSpanProcessor", "QueueSpanProcessor"]
    assert not [name for name in said["threads"] if "Batch" in name or name.startswith("Otel")]
    for warning in ("Overriding", "already instrumented", "Attempting"):
        assert warning not in logged


def test_the_sections_endpoint_is_taken(received: Received) -> None:
    """Spans and log records go there over gRPC, under the section's name, Backend.AI's own span below ours."""
    run(received.endpoint)
    (server,) = received.of_kind(SERVER)
    (action,), (below,) = received.named("action"), received.named("below")
    assert action.trace_id == below.trace_id == server.trace_id
    assert (action.parent_span_id, below.parent_span_id) == (server.span_id, action.span_id)
    resource = received.spans[0][1]
    assert (resource["service.name"], resource["service.version"]) == ("manager-by-section", "1.2.3")
    lines = [record for record, _ in received.logs if record.body.string_value == "in the request"]
    assert [(line.trace_id, line.span_id) for line in lines] == [(server.trace_id, server.span_id)]


def test_the_environment_wins(received: Received) -> None:
    """An endpoint, a service name or an exporter that the operator names stays, each by itself."""
    run("http://127.0.0.1:9", OTEL_EXPORTER_OTLP_ENDPOINT=received.endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert len(received.of_kind(SERVER)) == 1
    received.spans.clear()
    received.logs.clear()
    run(received.endpoint, OTEL_SERVICE_NAME="mine", OTEL_LOGS_EXPORTER="none")
    assert {resource["service.name"] for _, resource in received.spans} == {"mine"}
    assert received.logs == []
    received.spans.clear()
    run(received.endpoint, OTEL_TRACES_EXPORTER="none")
    assert received.spans == []


def test_backendais_own_spans_can_be_left_out(received: Received) -> None:
    """What a library traces below them stays in the trace, below our span."""
    run(received.endpoint, OTEL_BACKENDAI_UPSTREAM_SPANS="0")
    (server,), (below,) = received.of_kind(SERVER), received.named("below")
    assert received.named("action") == []
    assert (below.trace_id, below.parent_span_id) == (server.trace_id, server.span_id)


def test_without_our_server_spans_backendais_own_serve(received: Received) -> None:
    """With that hop disabled by name: 26.4.16 alone answers 500 to every request, with the plugin 200, as all others;
    the SERVER span is that of the release, which has none before 26.1."""
    said, logged = run(received.endpoint, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="backendai_http_server")
    assert said["status"] == 200
    assert "Traceback" not in logged
    assert len(received.of_kind(SERVER)) == (0 if FAMILY.startswith("25.") else 1)


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:9", "no endpoint at all"])
def test_half_configured(endpoint: str) -> None:
    """An endpoint that is missing, unreachable or nonsense costs the request nothing."""
    said, _ = run(endpoint, OTEL_BACKENDAI_FLUSH_TIMEOUT="0.5")
    assert said["status"] == 200
