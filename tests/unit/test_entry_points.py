# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The entry points: each that pyproject.toml names loads, is installed, and is what its group wants."""

import tomllib
from importlib.metadata import EntryPoint, distribution
from pathlib import Path

import pytest
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # untyped
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.resources import ResourceDetector
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler

from otel_backendai import instrumentors
from tests.unit.conftest import output_of, run_python

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
GROUPS: dict[str, dict[str, str]] = {"console_scripts": PROJECT["scripts"], **PROJECT["entry-points"]}
ALL = [(group, name, value) for group, entries in GROUPS.items() for name, value in entries.items()]


@pytest.mark.parametrize(("group", "name", "value"), ALL, ids=str)
def test_it_loads_alone(group: str, name: str, value: str) -> None:
    """In a process that has imported nothing before, without a warning."""
    code = f"from importlib.metadata import EntryPoint; EntryPoint({name!r}, {value!r}, {group!r}).load(); print('ok')"
    done = run_python(code)
    assert done.stdout.strip() == "ok", done.stderr
    assert not done.stderr


def test_all_are_installed() -> None:
    """The installed metadata says what the source says."""
    installed = {(entry.group, entry.name, entry.value) for entry in distribution("otel-backendai").entry_points}
    assert installed == set(ALL)


def loaded(group: str) -> dict[str, object]:
    """The objects of a group by name."""
    return {name: EntryPoint(name, value, group).load() for name, value in GROUPS[group].items()}


def test_propagators() -> None:
    """Classes that are made without an argument."""
    found = loaded("opentelemetry_propagator")
    assert set(found) == {"backendai", "backendai_rpc", "backendai_event"}
    for kind in found.values():
        assert isinstance(kind, type)
        assert isinstance(kind(), TextMapPropagator)


def test_exporters() -> None:
    """Of the classes that the SDK asks for, made without an argument."""
    from opentelemetry.sdk._logs import export as log_exports
    from opentelemetry.sdk.trace.export import SpanExporter

    log_exporter = getattr(log_exports, "LogRecordExporter", None) or log_exports.LogExporter
    for group, base in (("opentelemetry_traces_exporter", SpanExporter), ("opentelemetry_logs_exporter", log_exporter)):
        kind = loaded(group)["backendai_otlp"]
        assert isinstance(kind, type)
        assert issubclass(kind, base)
        kind().shutdown()


def test_instrumentors() -> None:
    """One per hop, the same that `activate()` switches on, each a hop of its own."""
    found = loaded("opentelemetry_instrumentor")
    assert found == instrumentors.BY_NAME
    hops = set()
    for name, kind in instrumentors.BY_NAME.items():
        assert issubclass(kind, BaseInstrumentor)
        assert kind().hop.name == name.removeprefix("backendai_")
        hops.add(id(kind().hop))
    assert len(hops) == len(instrumentors.BY_NAME)


def test_sdk_parts() -> None:
    """Detector, sampler, ID generator and configurator have the interfaces that the SDK of this train asks for."""
    (detector,) = loaded("opentelemetry_resource_detector").values()
    (sampler,) = loaded("opentelemetry_traces_sampler").values()
    (generator,) = loaded("opentelemetry_id_generator").values()
    (configurator,) = loaded("opentelemetry_configurator").values()
    assert callable(detector)
    assert isinstance(detector(), ResourceDetector)
    assert callable(sampler)
    assert isinstance(sampler("0.5"), Sampler)
    assert isinstance(sampler(None), Sampler)
    assert callable(generator)
    assert isinstance(generator(), IdGenerator)
    assert callable(configurator)
    assert callable(configurator().configure)


def test_no_distro_of_our_own() -> None:
    """An environment has one distro; ours would take the place of the operator's."""
    assert "opentelemetry_distro" not in GROUPS


def test_the_launcher_offers_our_settings() -> None:
    """`opentelemetry-instrument --help` names the flags; that alone proves the group is read."""
    code = """
import sys
from opentelemetry.instrumentation.auto_instrumentation import run
sys.argv = ["opentelemetry-instrument", "--help"]
run()
"""
    assert "--backendai_component" in output_of(code)
