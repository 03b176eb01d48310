# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The resource of each process, and which component it is."""

import json
import os
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from otel_backendai.component import component_of
from otel_backendai.sdk.resource import ProcessResource
from tests.unit.conftest import output_of

CREATE = "import json; from otel_backendai.sdk.resource import create_resource; r = create_resource({})"
SHOW = "; print(json.dumps(dict(r.attributes)))"


def created(argument: str = "", **environment: str) -> dict[str, Any]:
    """The attributes of the resource of a fresh process."""
    answer: dict[str, Any] = json.loads(output_of(CREATE.format(argument) + SHOW, **environment))
    return answer


def in_child(work: Callable[[], object]) -> Any:
    """What ``work`` answers in a forked child."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.write(write, json.dumps(work()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    assert os.waitpid(pid, 0)[1] == 0
    return json.loads(text)


def test_the_service_name() -> None:
    """The operator's, else the component's, else what OpenTelemetry says."""
    assert created(OTEL_BACKENDAI_COMPONENT="manager")["service.name"] == "manager"
    both = created(OTEL_BACKENDAI_COMPONENT="manager", OTEL_SERVICE_NAME="mine")
    assert both["service.name"] == "mine"
    attributes = "service.name=other,deployment.environment=test"
    given = created(OTEL_BACKENDAI_COMPONENT="manager", OTEL_RESOURCE_ATTRIBUTES=attributes)
    assert (given["service.name"], given["deployment.environment"]) == ("other", "test")
    assert created()["service.name"].startswith("unknown_service")


def test_instance_and_pid() -> None:
    """A random instance ID per process, its own pid, and what OpenTelemetry always says."""
    first, second = created("'1.0'"), created()
    assert uuid.UUID(first["service.instance.id"]) != uuid.UUID(second["service.instance.id"])
    assert first["process.pid"] != second["process.pid"]
    assert first["telemetry.sdk.language"] == "python"
    assert first["telemetry.auto.version"] == "1.0"
    assert "telemetry.auto.version" not in second


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_has_an_identity_of_its_own() -> None:
    """Also through a resource object that was made before the fork; the parent's stays as it is."""
    resource = ProcessResource(Resource({"service.name": "x"}))
    mine = dict(resource.attributes)
    assert mine["process.pid"] == os.getpid()
    children = [in_child(lambda: dict(resource.attributes)) for _ in range(2)]
    assert len({child["process.pid"] for child in [mine, *children]}) == 3
    assert len({child["service.instance.id"] for child in [mine, *children]}) == 3
    assert {child["service.name"] for child in children} == {"x"}
    assert dict(resource.attributes) == mine


def test_threads_that_ask_at_once_get_one_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans and log records have an exporting thread each, and at a last flush both may be the first to ask."""
    both = threading.Barrier(2)

    def slowly() -> uuid.UUID:
        with suppress(threading.BrokenBarrierError):
            both.wait(timeout=1)
        return uuid.UUID(bytes=os.urandom(16), version=4)

    resource = ProcessResource(Resource({}))
    monkeypatch.setattr("otel_backendai.sdk.resource.uuid.uuid4", slowly)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(lambda: resource.attributes["service.instance.id"]) for _ in range(2)]
        assert len({one.result() for one in asked} | {resource.attributes["service.instance.id"]}) == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_an_instance_id_of_the_operator_is_extended_not_replaced() -> None:
    """`ID` in the parent, `ID-1` in worker 1, `ID-PID` in a child that is no worker."""
    resource = ProcessResource(Resource({"service.instance.id": "node7"}))

    def worker() -> str:
        resource.enter_worker(1)
        return str(resource.attributes["service.instance.id"])

    assert resource.attributes["service.instance.id"] == "node7"
    assert in_child(worker) == "node7-1"
    pid, instance = in_child(lambda: [os.getpid(), resource.attributes["service.instance.id"]])
    assert instance == f"node7-{pid}"
    assert resource.attributes["service.instance.id"] == "node7"


def test_it_is_a_resource() -> None:
    """Exporters group by it, print it and ask its schema; merging leaves its identity alone."""
    resource = ProcessResource(Resource({"service.name": "x"}, "https://opentelemetry.io/schemas/1.21.0"))
    assert resource.schema_url == "https://opentelemetry.io/schemas/1.21.0"
    assert resource.attributes is resource.attributes
    assert {resource: 1}[resource] == 1
    assert resource != ProcessResource(Resource({"service.name": "x"}))
    assert json.loads(resource.to_json())["attributes"]["service.name"] == "x"
    assert resource.merge(Resource({"service.instance.id": "random"})) is resource


@pytest.mark.parametrize("detectors", ["backendai", "backendai,otel", "otel,backendai"])
def test_the_detector_for_those_who_keep_the_stock_configurator(detectors: str) -> None:
    """`OTEL_EXPERIMENTAL_RESOURCE_DETECTORS`: the component as service name, unless the operator named it."""
    code = "import json; from opentelemetry.sdk.resources import Resource; r = Resource.create()" + SHOW
    environment = {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": detectors, "OTEL_BACKENDAI_COMPONENT": "agent"}
    detected = json.loads(output_of(code, **environment))
    assert detected["service.name"] == "agent"
    assert uuid.UUID(detected["service.instance.id"])
    named = json.loads(output_of(code, **environment, OTEL_SERVICE_NAME="mine"))
    assert named["service.name"] == "mine"
    instance = json.loads(output_of(code, **environment, OTEL_RESOURCE_ATTRIBUTES="service.instance.id=node7"))
    assert instance["service.instance.id"] == "node7"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python /opt/bin/backend.ai mgr start-server", "manager"),
        ("python /opt/bin/backend.ai ag start-server --debug", "agent"),
        ("backend.ai storage start-server", "storage-proxy"),
        ("backend.ai app-proxy-worker start-server", "appproxy-worker"),
        ("python -m ai.backend.manager.server", "manager"),
        ("python -m ai.backend.appproxy.coordinator.server", "appproxy-coordinator"),
        ("python /usr/lib/python3.12/site-packages/ai/backend/agent/server.py", "agent"),
        ("backend.ai mgr schema show", None),
        ("backend.ai session create", None),
        ("python script.py", None),
        ("start-server", None),
        ("python", None),
        ("", None),
    ],
)
def test_the_component_of_a_command_line(command: str, expected: str | None) -> None:
    """Servers are components; client commands and scripts are none."""
    assert component_of(command.split()) == expected


def test_what_a_component_says_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It completes the resource, below what the operator set; instance ID and pid stay those of the process."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=mine")
    resource = ProcessResource(Resource({"service.name": "manager", "service.version": "mine"}))
    before = dict(resource.attributes)
    resource.adopt({"service.name": "by-section", "service.version": "26.9.6", "service.instance.id": "same-for-all"})
    after = resource.attributes
    assert (after["service.name"], after["service.version"]) == ("by-section", "mine")
    assert after["service.instance.id"] == before["service.instance.id"]
    assert after["process.pid"] == os.getpid()
