# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The configurator, in fresh processes under ``opentelemetry-instrument`` and without."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.conftest import run_python

SHOW = """
import json, logging, sys
from opentelemetry import trace, _logs
provider = trace.get_tracer_provider()
sampler = getattr(provider, "sampler", None)
print(json.dumps({
    "provider": type(provider).__module__,
    "processors": [
        type(p).__name__ for p in getattr(getattr(provider, "_active_span_processor", 0), "_span_processors", ())
    ],
    "logs": type(_logs.get_logger_provider()).__module__,
    "sampler": sampler.get_description() if sampler else "",
    "ids": type(getattr(provider, "id_generator", None)).__module__,
    "service": getattr(provider, "resource", None) and provider.resource.attributes.get("service.name"),
    "heavy": sorted({m.partition(".")[0] for m in sys.modules} & {"grpc", "requests", "urllib3"}) +
             sorted(m for m in sys.modules if m == "google.protobuf"),
    "exporters": sorted(
        m for m in sys.modules if m in {
            "otel_backendai.otlp.exporter",
            "opentelemetry.exporter.otlp.proto.http",
            "opentelemetry.exporter.otlp.proto.grpc",
        }
    ),
    # Contrib's logging instrumentor puts one there, which exports nothing beside our bridge.
    "handlers": [h for h in map(str, logging.getLogger().handlers) if "LoggingHandler" not in h],
}))
"""


CONFIGURE = """
from otel_backendai.sdk.configurator import BackendAIConfigurator
BackendAIConfigurator().configure(auto_instrumentation_version="1.0")
"""


def configured(
    component: str | None = "manager", launcher: bool = False, /, **environment: str
) -> tuple[dict[str, Any], str]:
    """What a process sees once the configurator has run, and what it wrote to stderr."""
    environment.setdefault("OTEL_METRICS_EXPORTER", "none")
    environment.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    environment.setdefault("OTEL_BACKENDAI_FLUSH_TIMEOUT", "0.2")
    if component:
        environment["OTEL_BACKENDAI_COMPONENT"] = component
    code = SHOW if launcher else CONFIGURE + SHOW
    done = run_python(code, launcher, OTEL_PYTHON_CONFIGURATOR="backendai", **environment)
    assert done.returncode == 0, done.stderr
    # Ours; the 1.39 train prints one of its own when its log handler starts a thread at the end of Python 3.12.
    assert not any("otel_backendai" in traceback for traceback in done.stderr.split("Traceback")[1:]), done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1]), done.stderr


def test_in_a_component() -> None:
    """An SDK provider with request IDs, our queue, private random IDs; the component's name; no log export unasked."""
    seen, _ = configured("manager", True)
    assert seen["provider"] == "opentelemetry.sdk.trace"
    assert seen["processors"] == ["RequestIdSpanProcessor", "QueueSpanProcessor"]
    assert seen["service"] == "manager"
    assert seen["ids"] == "otel_backendai.sdk.id_generator"
    assert not seen["logs"].startswith("opentelemetry.sdk")
    assert seen["handlers"] == []


def test_nothing_heavy_is_imported() -> None:
    """No protobuf, no gRPC, no other HTTP client in a component, whether it exports or not."""
    assert configured(OTEL_TRACES_EXPORTER="none")[0]["heavy"] == []
    assert configured(OTEL_LOGS_EXPORTER="otlp")[0]["heavy"] == []


OURS = "otel_backendai.otlp.exporter"


@pytest.mark.parametrize(
    ("environment", "exporter"),
    [
        ({}, OURS),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, OURS),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, OURS),
        ({"OTEL_TRACES_EXPORTER": "backendai_otlp"}, OURS),
        ({"OTEL_TRACES_EXPORTER": "backendai_otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, OURS),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "opentelemetry.exporter.otlp.proto.grpc"),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            OURS,
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp_proto_http"}, "opentelemetry.exporter.otlp.proto.http"),
        ({"OTEL_TRACES_EXPORTER": "otlp_proto_grpc"}, "opentelemetry.exporter.otlp.proto.grpc"),
    ],
    ids=str,
)
def test_which_exporter(environment: dict[str, str], exporter: str) -> None:
    """Ours unless gRPC is asked for or an official one is named; imported in the main thread before any fork.

    A fork in the middle of an import would leave a lock taken in the child.
    """
    seen, errors = configured(**environment)
    assert seen["exporters"] == [exporter]
    assert seen["processors"].count("QueueSpanProcessor") == 1
    assert not errors


SEND = """
from opentelemetry import trace
provider = trace.get_tracer_provider()
for number in range(3):
    provider.get_tracer("t").start_span(f"s{number}").end()
    # Up to the 1.33 train the official exporter tries for a minute, whatever its time-out.
    provider.force_flush(2_500)
"""


def test_an_official_exporter_says_now_and_then_that_the_collector_is_down() -> None:
    """Three batches, or many attempts of one, are one warning and one error at the most."""
    done = run_python(
        CONFIGURE + SEND,
        False,
        OTEL_BACKENDAI_COMPONENT="manager",
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_EXPORTER_OTLP_TIMEOUT="2",
        OTEL_BACKENDAI_FLUSH_TIMEOUT="0.2",
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "127.0.0.1:9" in line]
    assert len([line for line in lines if line.startswith("Transient error")]) <= 1
    assert len([line for line in lines if line.startswith("Failed to export")]) <= 1
    assert lines, done.stderr


def test_our_exporter_with_the_stock_configurator() -> None:
    """Outside of a component it is taken by its name, for both signals."""
    seen, errors = configured(
        None,
        True,
        OTEL_TRACES_EXPORTER="backendai_otlp",
        OTEL_LOGS_EXPORTER="backendai_otlp",
        # Older trains export no logs without it.
        OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED="true",
        OTEL_EXPORTER_OTLP_TIMEOUT="0.5",
    )
    assert seen["exporters"] == [OURS]
    assert seen["processors"].count("BatchSpanProcessor") == 1
    assert seen["logs"].startswith("opentelemetry.sdk")
    assert "Failed" not in errors


def test_an_unknown_protocol() -> None:
    """One warning that does not repeat the value; OTLP/HTTP with protobuf is spoken."""
    seen, errors = configured(OTEL_EXPORTER_OTLP_PROTOCOL="http/json")
    assert seen["exporters"] == [OURS]
    assert errors.count("OTEL_EXPORTER_OTLP_PROTOCOL") == 1


def test_logs_when_asked() -> None:
    """`OTEL_LOGS_EXPORTER=otlp`: a logger provider, and still no handler on the root logger."""
    seen, _ = configured(OTEL_LOGS_EXPORTER="otlp")
    assert seen["logs"].startswith("opentelemetry.sdk")
    assert seen["handlers"] == []


def test_outside_of_a_component_it_is_the_stock_one() -> None:
    """What the SDK's own configurator does, with its processors; only the request ID is added."""
    seen, _ = configured(None, True, OTEL_TRACES_EXPORTER="console")
    assert seen["provider"] == "opentelemetry.sdk.trace"
    assert "QueueSpanProcessor" not in seen["processors"]
    assert seen["processors"].count("BatchSpanProcessor") == 1
    assert seen["processors"].count("RequestIdSpanProcessor") == 1
    assert seen["service"].startswith("unknown_service")


@pytest.mark.parametrize("value", ["true", " TRUE "])
def test_the_sdk_can_be_disabled(value: str) -> None:
    """`OTEL_SDK_DISABLED`: no provider of the SDK, and the application runs."""
    assert not configured(OTEL_SDK_DISABLED=value)[0]["provider"].startswith("opentelemetry.sdk")


@pytest.mark.parametrize("signal", ["TRACES", "LOGS"])
def test_an_unknown_exporter(signal: str) -> None:
    """A name that nothing installed offers: one warning that names it, and the application runs."""
    seen, errors = configured(**{f"OTEL_{signal}_EXPORTER": "nonesuch"})
    assert seen["provider"] == "opentelemetry.sdk.trace"
    assert errors.count("nonesuch") == 1


def test_several_exporters_and_none() -> None:
    """A list gives a queue each, unknown names among them are left out; `none` gives none."""
    seen, errors = configured(OTEL_TRACES_EXPORTER="otlp, console,nonesuch")
    assert seen["processors"].count("QueueSpanProcessor") == 2
    assert errors.count("nonesuch") == 1
    assert configured(OTEL_TRACES_EXPORTER="none")[0]["processors"] == ["RequestIdSpanProcessor"]


def test_an_empty_setting_is_as_if_unset() -> None:
    """The specification: an empty environment variable counts as absent."""
    assert "QueueSpanProcessor" in configured(OTEL_TRACES_EXPORTER="")[0]["processors"]
    seen, errors = configured(OTEL_PYTHON_ID_GENERATOR="", OTEL_EXPORTER_OTLP_PROTOCOL="", OTEL_TRACES_SAMPLER="")
    assert seen["ids"] == "otel_backendai.sdk.id_generator"
    assert "nothing installed" not in errors


def test_samplers() -> None:
    """Ours by name, with its argument; the built-in ones as ever; an unknown one samples as by default."""
    ours = configured(OTEL_TRACES_SAMPLER="backendai_request_id_ratio", OTEL_TRACES_SAMPLER_ARG="0.25")[0]["sampler"]
    assert "BackendAIRequestIdRatio{0.25}" in ours
    assert configured(OTEL_TRACES_SAMPLER="always_off")[0]["sampler"] == "AlwaysOffSampler"
    seen, errors = configured(OTEL_TRACES_SAMPLER="nonesuch")
    assert seen["sampler"].startswith("ParentBased{root:AlwaysOnSampler")
    assert "nonesuch" in errors


def test_our_sampler_with_the_stock_configurator() -> None:
    """Its entry point works outside of a component as well."""
    seen, _ = configured(
        None,
        OTEL_TRACES_EXPORTER="none",
        OTEL_TRACES_SAMPLER="backendai_request_id_ratio",
        OTEL_TRACES_SAMPLER_ARG="0.25",
    )
    assert "BackendAIRequestIdRatio{0.25}" in seen["sampler"]


def test_an_existing_provider_is_kept() -> None:
    """An application that came first keeps its provider; it gets the request ID, once. Its metrics are its own."""
    code = (
        """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
mine = TracerProvider()
trace.set_tracer_provider(mine)
from otel_backendai.sdk.configurator import BackendAIConfigurator
BackendAIConfigurator().configure()
BackendAIConfigurator().configure(auto_instrumentation_version="1")
assert trace.get_tracer_provider() is mine
"""
        + SHOW
    )
    done = run_python(code, OTEL_BACKENDAI_COMPONENT="manager", OTEL_METRICS_EXPORTER="otlp")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["processors"] == ["RequestIdSpanProcessor"]


@pytest.mark.parametrize("launcher", [True, False], ids=["opentelemetry-instrument", "code"])
def test_a_provider_that_the_api_would_make_is_nobodys(launcher: bool) -> None:
    """`OTEL_PYTHON_TRACER_PROVIDER=sdk_tracer_provider`, a default elsewhere, does not take the place of ours."""
    seen, _ = configured("manager", launcher, OTEL_PYTHON_TRACER_PROVIDER="sdk_tracer_provider")
    assert seen["processors"] == ["RequestIdSpanProcessor", "QueueSpanProcessor"]


def test_a_failing_exporter_does_not_stop_the_process() -> None:
    """Nobody listens: a span is made, the process ends by itself, in time, with its own exit code."""
    code = """
from opentelemetry import trace
with trace.get_tracer("t").start_as_current_span("s"):
    print("{}")
raise SystemExit(7)
"""
    done = run_python(
        code,
        True,
        OTEL_PYTHON_CONFIGURATOR="backendai",
        OTEL_BACKENDAI_COMPONENT="manager",
        OTEL_METRICS_EXPORTER="none",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_BACKENDAI_FLUSH_TIMEOUT="0.5",
    )
    assert done.returncode == 7


def test_what_a_process_made_is_sent_at_its_end() -> None:
    """Without any fork: the exit flush, within its budget, in a component."""
    code = """
from opentelemetry import trace
with trace.get_tracer("t").start_as_current_span("at the end"):
    pass
"""
    done = run_python(
        code,
        True,
        OTEL_PYTHON_CONFIGURATOR="backendai",
        OTEL_BACKENDAI_COMPONENT="manager",
        OTEL_TRACES_EXPORTER="console",
        OTEL_METRICS_EXPORTER="none",
    )
    assert done.stdout.count('"name": "at the end"') == 1


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"OTEL_TRACES_SAMPLER": "test_raising"}, "test_raising cannot be used (ValueError), the default is used"),
        ({"OTEL_TRACES_SAMPLER": "test_none"}, "test_none cannot be used (it is no Sampler), the default is used"),
        (
            {"OTEL_PYTHON_ID_GENERATOR": "test_none"},
            "test_none cannot be used (it is no IdGenerator), the default is used",
        ),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, "OTEL_METRICS_EXPORTER is ignored"),
        ({"OTEL_CONFIG_FILE": "sdk.yaml"}, "OTEL_CONFIG_FILE is ignored"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "1e30"}, "OTEL_BSP_MAX_QUEUE_SIZE is no number"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "1e13"}, "OTEL_BSP_SCHEDULE_DELAY is no number"),
        (
            {"OTEL_BACKENDAI_FLUSH_TIMEOUT": "nan"},
            "OTEL_BACKENDAI_FLUSH_TIMEOUT is no number from 0 to 3600, 2.5 is used",
        ),
        (
            {"OTEL_BACKENDAI_FLUSH_TIMEOUT": "inf"},
            "OTEL_BACKENDAI_FLUSH_TIMEOUT is no number from 0 to 3600, 2.5 is used",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_said_once(environment: dict[str, str], complaint: str, tmp_path: Path) -> None:
    """And the process exports by the default: a setting with a mistake does not switch telemetry off without a word."""
    metadata = tmp_path / "tests_plugins-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tests-plugins\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[opentelemetry_traces_sampler]\ntest_raising = tests_plugins:raising\ntest_none = tests_plugins:none\n"
        "[opentelemetry_id_generator]\ntest_none = tests_plugins:none\n"
    )
    (tmp_path / "tests_plugins.py").write_text(
        "def raising(argument):\n    raise ValueError(argument)\n\n\ndef none(*arguments):\n    return None\n"
    )
    seen, errors = configured(PYTHONPATH=str(tmp_path), **environment)
    assert seen["processors"] == ["RequestIdSpanProcessor", "QueueSpanProcessor"]
    assert [line for line in errors.splitlines() if complaint in line] == errors.splitlines()
    assert len(errors.splitlines()) == 1


REFUSING = """
import opentelemetry.sdk.trace as sdk
class Refusing(sdk.TracerProvider):
    def __init__(self, **settings):
        raise ValueError("refused")
sdk.TracerProvider = Refusing
"""
ACTIVATE = "from otel_backendai.activation import activate; activate()\n"


@pytest.mark.parametrize(
    ("code", "environment", "hop"),
    [
        (REFUSING + CONFIGURE, {}, False),
        (REFUSING + ACTIVATE, {}, True),
        # The SDK reads it when it is imported.
        (ACTIVATE, {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"}, True),
    ],
    ids=["configurator", "code", "a setting of the SDK"],
)
def test_a_set_up_that_fails_is_said(code: str, environment: dict[str, str], hop: bool) -> None:
    """In one line, with the reason; the application runs, and :func:`activate` still switches the hops on."""
    code += "from otel_backendai.hops import http_server; print(http_server.HOP.active)"
    done = run_python(code, OTEL_BACKENDAI_COMPONENT="manager", **environment)
    assert done.stdout.strip() == str(hop), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("OpenTelemetry could not be set up: ValueError(")


def test_log_records_on_the_console() -> None:
    """The SDK's own exporter prints what it is given; from the 1.39 train on that is not what processors are given."""
    code = CONFIGURE + 'import logging\nlogging.getLogger("application").warning("a line")\n'
    environment = {"OTEL_BACKENDAI_COMPONENT": "manager", "OTEL_TRACES_EXPORTER": "none"}
    done = run_python(code, OTEL_LOGS_EXPORTER="console", **environment)
    assert json.loads(done.stdout)["body"] == "a line"


def test_children_of_multiprocessing_send_what_they_made() -> None:
    """They leave by `os._exit` like workers, and run a list of their own before it instead of `atexit`."""
    code = f"""
{CONFIGURE}
import multiprocessing
from opentelemetry import trace

def work():
    trace.get_tracer("application").start_span("of the child").end()

if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
"""
    done = run_python(code, OTEL_BACKENDAI_COMPONENT="manager", OTEL_TRACES_EXPORTER="console")
    assert json.loads(done.stdout)["name"] == "of the child"
