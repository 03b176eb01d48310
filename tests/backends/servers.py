# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Processes of Jaeger and of the Collector, and questions to them. Every wait is bounded."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from google.protobuf.message import Message

from tests.integration.conftest import free_port

ROOT = Path(__file__).parents[2]
WAIT = 30.0
_POLL_INTERVAL = 0.1
_ANSWER_TIMEOUT = 10
_STOP_TIMEOUT = 15

JSON = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Jaeger:
    """Where a running Jaeger listens."""

    query_url: str
    otlp_grpc: str
    otlp_http: str

    def get(self, path: str, **parameters: str | int) -> JSON:
        """The JSON answer of the query API, whatever its status."""
        return get_json(self.query_url, path, parameters)

    def services(self) -> list[str]:
        """All services that it has spans of."""
        return list(self.get("/api/services")["data"] or [])

    def find(self, request_id: str) -> dict[str, JSON]:
        """All traces with the request ID by trace ID: one search per service, as Jaeger wants it."""
        tags = json.dumps({"backendai.request.id": request_id})
        return {
            trace["traceID"]: trace
            for service in self.services()
            for trace in self.get("/api/traces", service=service, tags=tags)["data"] or []
        }


@dataclass(frozen=True)
class Collector:
    """Where a running Collector listens."""

    otlp_grpc: str
    otlp_http: str


def get_json(base_url: str, path: str, parameters: Mapping[str, str | int]) -> JSON:
    """GET; the JSON answer, also that of an error."""
    query = f"?{urlencode(parameters)}" if parameters else ""
    try:
        with urlopen(f"{base_url}{path}{query}", timeout=_ANSWER_TIMEOUT) as answer:
            body = answer.read()
    except HTTPError as error:
        body = error.read()
    parsed: JSON = json.loads(body)
    return parsed


def post_otlp(base_url: str, signal: str, request: Message) -> None:
    """Send an export request; ``signal`` is the last part of the path. Raises on any answer but success."""
    headers = {"Content-Type": "application/x-protobuf"}
    export = Request(f"{base_url}/v1/{signal}", request.SerializeToString(), headers)
    with urlopen(export, timeout=_ANSWER_TIMEOUT) as answer:
        answer.read()


def eventually(ask: Callable[[], T], what: str) -> T:
    """The first answer that is true; fails after thirty seconds with the last one."""
    deadline = time.monotonic() + WAIT
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"{what} did not come: {answer}"
        time.sleep(_POLL_INTERVAL)
    return answer


@contextmanager
def run_jaeger(binaries: Path, directory: Path, otlp_grpc: str | None = None, **settings: str) -> Iterator[Jaeger]:
    """Run Jaeger until the block ends; ``directory`` takes its log, ``otlp_grpc`` is where it receives."""
    http, query, query_grpc, health = (f"127.0.0.1:{free_port()}" for _ in range(4))
    grpc = otlp_grpc or f"127.0.0.1:{free_port()}"
    settings = {
        "JAEGER_OTLP_GRPC": grpc,
        "JAEGER_OTLP_HTTP": http,
        "JAEGER_QUERY_HTTP": query,
        "JAEGER_QUERY_GRPC": query_grpc,
        "JAEGER_HEALTH": health,
        **settings,
    }
    command = [str(binaries / "jaeger"), "--config", str(ROOT / "backends" / "jaeger.yaml")]
    with _running(command, settings, directory, f"http://{health}/status"):
        yield Jaeger(f"http://{query}", grpc, f"http://{http}")


@contextmanager
def run_collector(
    binaries: Path, directory: Path, jaeger_grpc: str, overlay: Path | None = None, **settings: str
) -> Iterator[Collector]:
    """Run the Collector until the block ends. Loki and Prometheus are at a closed port unless ``settings`` say else.

    ``overlay`` is a second configuration; what it says replaces what `collector-config.yaml` says.
    """
    grpc, http, health = (f"127.0.0.1:{free_port()}" for _ in range(3))
    nobody = f"http://127.0.0.1:{free_port()}"
    settings = {
        "OTLP_GRPC_ENDPOINT": grpc,
        "OTLP_HTTP_ENDPOINT": http,
        "HEALTH_ENDPOINT": health,
        "JAEGER_ENDPOINT": jaeger_grpc,
        "LOKI_ENDPOINT": nobody,
        "PROMETHEUS_ENDPOINT": nobody,
        "BATCH_TIMEOUT": "100ms",
        **settings,
    }
    command = [str(binaries / "otelcol"), "--config", str(ROOT / "collector-config.yaml")]
    command += [] if overlay is None else ["--config", str(overlay)]
    with _running(command, settings, directory, f"http://{health}/"):
        yield Collector(grpc, f"http://{http}")


@contextmanager
def _running(command: list[str], settings: Mapping[str, str], directory: Path, ready_url: str) -> Iterator[None]:
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=directory, env={**os.environ, **settings})
        try:
            eventually(lambda: _is_ready(ready_url) or process.poll() is not None, f"{command[0]}")
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
            yield
        finally:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_STOP_TIMEOUT)


def _is_ready(url: str) -> bool:
    try:
        with urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
