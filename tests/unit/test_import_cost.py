# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Importing the package costs milliseconds and brings nothing along."""

import json
import re
import statistics

import pytest

from tests.unit.conftest import output_of, run_python

TARGETS = {"aiohttp", "aiotools", "callosum", "redis", "zmq", "ai", "prometheus_client", "yarl", "multidict"}
HEAVY = {"grpc", "requests", "google", "asyncio"}


def modules_after(code: str, **environment: str) -> list[str]:
    """The modules that are loaded after ``code`` and were not before."""
    script = (
        f"import sys, json; before = set(sys.modules)\n{code}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    loaded: list[str] = json.loads(output_of(script, **environment))
    return loaded


def test_the_package_imports_nothing() -> None:
    """Every child interpreter pays for what stands in `__init__`: the package itself and no other module."""
    assert modules_after("import otel_backendai") == ["otel_backendai"]


def test_the_package_costs_a_few_milliseconds() -> None:
    """The median of five interpreters, cumulative time of the import; a bound with room for a busy machine."""
    times = []
    for _ in range(5):
        report = run_python("import otel_backendai", False, "-X", "importtime").stderr
        match = re.search(r"\|\s+(\d+) \|\s+otel_backendai$", report, re.MULTILINE)
        assert match, report
        times.append(int(match[1]))
    assert statistics.median(times) < 5_000


@pytest.mark.parametrize("module", ["http_headers", "rpc_body", "event_metadata", "peers_only", "w3c"])
def test_propagators_import_only_the_api(module: str) -> None:
    """They are loaded while OpenTelemetry is half imported: no SDK, no instrumentation package, no target."""
    loaded = modules_after(f"import otel_backendai.propagators.{module}")
    assert not [name for name in loaded if name.startswith(("opentelemetry.sdk", "opentelemetry.instrumentation"))]
    assert not {name.partition(".")[0] for name in loaded} & (TARGETS | HEAVY - {"asyncio"})
    assert not [name for name in loaded if name.startswith("otel_backendai.") and ".hops" in name]


@pytest.mark.parametrize("module", ["http_headers", "rpc_body", "event_metadata", "peers_only"])
def test_propagators_import_first(module: str) -> None:
    """Each can be the first module of a process, before anything of OpenTelemetry."""
    assert output_of(f"import otel_backendai.propagators.{module}; print('ok')") == "ok"


@pytest.mark.parametrize(
    "module",
    ["names", "guard", "component", "request_id", "patching", "activation", "environment_variables", "counters"],
)
def test_the_core_imports_no_target(module: str) -> None:
    """Nor protobuf, grpc or the SDK."""
    loaded = set(modules_after(f"import otel_backendai.{module}"))
    assert not {name.partition(".")[0] for name in loaded} & (TARGETS | HEAVY - {"asyncio"})
    assert not [name for name in loaded if name.startswith("opentelemetry.sdk")]


def test_activation_imports_no_target_but_what_http_out_is_made_of() -> None:
    """Patches go through import hooks: no Callosum, no aiotools, no Redis, no Backend.AI, no protobuf, no grpc."""
    loaded = modules_after("from otel_backendai.activation import activate; activate()")
    found = {name.partition(".")[0] for name in loaded}
    assert not found & {"aiotools", "callosum", "redis", "zmq", "ai", "prometheus_client", "grpc", "google", "requests"}
    assert "aiohttp" not in found


def test_what_applications_import() -> None:
    """`otel_backendai.api` brings no server, no client, no SDK."""
    loaded = modules_after("import otel_backendai.api")
    assert not {name.partition(".")[0] for name in loaded} & {
        "aiohttp",
        "redis",
        "callosum",
        "aiotools",
        "grpc",
        "google",
    }
    assert not [name for name in loaded if name.startswith("opentelemetry.sdk")]
