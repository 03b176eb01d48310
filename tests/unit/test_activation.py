# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The one way in."""

import json
from typing import Any

import pytest

from otel_backendai import instrumentors
from tests.unit.conftest import LAUNCHER, NO_HOPS, run_python

HOPS = ["background", "deferred", "events", "http_client", "http_server", "logs", "request_context", "rpc"]
SHOW = """
import json
from opentelemetry import trace, propagate
from otel_backendai import instrumentors
provider = trace.get_tracer_provider()
propagator = propagate.get_global_textmap()
print(json.dumps({
    "hops": sorted(i().hop.name for i in instrumentors.BY_NAME.values() if i().hop.active),
    "instrumented": sorted(n for n, i in instrumentors.BY_NAME.items() if i().is_instrumented_by_opentelemetry),
    "provider": type(provider).__module__,
    "processors": [
        type(p).__name__ for p in getattr(getattr(provider, "_active_span_processor", 0), "_span_processors", ())
    ],
    "wrapped": [type(propagator).__name__, type(getattr(propagator, "wrapped", None)).__name__],
}))
"""
ACTIVATE = "from otel_backendai.activation import activate; activate(){}\n"


def seen(code: str, launcher: bool = False, **environment: str) -> tuple[dict[str, Any], str]:
    """What a fresh process shows after ``code``, and its stderr."""
    for signal in ("TRACES", "METRICS", "LOGS"):
        environment.setdefault(f"OTEL_{signal}_EXPORTER", "none")
    if launcher:
        environment["OTEL_PYTHON_CONFIGURATOR"] = "backendai"
    done = run_python(code + SHOW, launcher, **environment)
    assert done.returncode == 0, done.stderr
    # Ours; contrib's log handler prints one of its own when it starts a thread at the end of Python 3.12.
    assert not any("otel_backendai" in traceback for traceback in done.stderr.split("Traceback")[1:]), done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1]), done.stderr


def test_all_hops_in_one_call() -> None:
    """Every hop is on; outside of Backend.AI the providers stay as they are."""
    shown, _ = seen(ACTIVATE.format(""))
    assert shown["hops"] == HOPS
    assert shown["instrumented"] == [f"backendai_{name}" for name in HOPS]
    assert not shown["provider"].startswith("opentelemetry.sdk")
    assert shown["wrapped"] == ["PeersOnlyPropagator", "CompositePropagator"]


def test_in_a_component_the_sdk_is_set_up() -> None:
    """The same result as the launcher's."""
    shown, _ = seen(ACTIVATE.format(""), OTEL_BACKENDAI_COMPONENT="agent")
    launched, _ = seen("", launcher=True, OTEL_BACKENDAI_COMPONENT="agent")
    assert shown == launched
    assert shown["hops"] == HOPS
    assert shown["processors"] == ["RequestIdSpanProcessor"]


@pytest.mark.parametrize("launcher", [False, True], ids=["code", "beside opentelemetry-instrument"])
@pytest.mark.parametrize("component", ["", "manager"])
def test_a_second_activation_changes_nothing(launcher: bool, component: str) -> None:
    """Two loaders: one processor, one wrap of the propagator, no complaint of any instrumentor."""
    shown, errors = seen(ACTIVATE.format("; activate()"), launcher=launcher, OTEL_BACKENDAI_COMPONENT=component)
    assert shown["hops"] == HOPS
    assert shown["processors"].count("RequestIdSpanProcessor") == (1 if component or launcher else 0)
    assert shown["wrapped"] == ["PeersOnlyPropagator", "CompositePropagator"]
    assert "Attempting to instrument" not in errors


@pytest.mark.parametrize(
    ("launcher", "disabled", "expected"),
    [
        (False, "backendai_events", [name for name in HOPS if name != "events"]),
        (True, " backendai_events , backendai_logs,other", [name for name in HOPS if name not in ("events", "logs")]),
        (False, " backendai_events , backendai_logs,other", [name for name in HOPS if name not in ("events", "logs")]),
        (False, "events", HOPS),
        (True, NO_HOPS, []),
        (False, NO_HOPS, []),
        (False, "*", []),
    ],
)
def test_disabled_names_are_honoured(launcher: bool, disabled: str, expected: list[str]) -> None:
    """`OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`, by both loaders; without HTTP out the propagator is untouched."""
    code = "" if launcher else ACTIVATE.format("")
    shown, _ = seen(code, launcher=launcher, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=disabled)
    assert shown["hops"] == expected
    assert (shown["wrapped"][0] == "PeersOnlyPropagator") is ("http_client" in expected)


def test_the_sdk_disabled() -> None:
    """`OTEL_SDK_DISABLED=true`: request IDs still travel, no SDK is set up."""
    shown, _ = seen(ACTIVATE.format(""), OTEL_SDK_DISABLED="true", OTEL_BACKENDAI_COMPONENT="manager")
    assert not shown["provider"].startswith("opentelemetry.sdk")
    assert shown["hops"] == HOPS


def test_an_own_provider_is_kept_and_equipped() -> None:
    """An application that has set its SDK up keeps it, and its spans get request IDs."""
    code = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
""" + ACTIVATE.format("")
    for component in ("", "manager"):
        assert seen(code, OTEL_BACKENDAI_COMPONENT=component)[0]["processors"] == ["RequestIdSpanProcessor"]


@pytest.mark.parametrize("broken", ["activation", "component", "instrumentors", "hops.rpc", "sdk.configurator"])
def test_it_raises_nothing(broken: str) -> None:
    """Rule 1: an installation with a broken module starts the application all the same."""
    module = f"otel_backendai.{broken}"
    code = f"import sys\nsys.modules['{module}'] = None\n"
    if broken == "activation":
        code += "sys.modules.pop('otel_backendai.activation'); sys.modules['opentelemetry.instrumentation'] = None\n"
    code += ACTIVATE.format("") + "print('runs')"
    done = run_python(code, OTEL_BACKENDAI_COMPONENT="manager", OTEL_TRACES_EXPORTER="none")
    assert done.stdout.strip() == "runs", done.stderr


def test_one_broken_hop_leaves_the_others() -> None:
    """Every hop works alone."""
    code = "import sys\nsys.modules['otel_backendai.hops.rpc'] = None\n" + ACTIVATE.format("")
    code += """
from otel_backendai.hops import background, events, http_client, http_server, logs
print([hop.HOP.active for hop in (background, events, http_client, http_server, logs)])
"""
    done = run_python(code)
    assert done.stdout.strip() == str([True] * 5), done.stderr


def test_uninstrument_restores_everything() -> None:
    """After `uninstrument()` of all instrumentors every patched attribute is the original, contrib's too."""
    code = """
import importlib, logging
import opentelemetry.instrumentation.aiohttp_server as contrib
from opentelemetry import propagate
import aiohttp.web, aiohttp.client, aiotools, callosum.rpc.channel, redis.commands.core
from otel_backendai import instrumentors
targets = [(t.module, t.path) for i in instrumentors.BY_NAME.values() for t in i().hop._targets
    if not t.module.startswith("ai.")]  # those of Backend.AI: tests/releases
def standing(module, path):
    owner = importlib.import_module(module)
    *owners, name = path.split(".")
    for part in owners:
        owner = getattr(owner, part)
    return vars(owner).get(name)
def everything():
    return [standing(*t) for t in targets] + [
        propagate.get_global_textmap(), contrib.AioHttpServerInstrumentor._instrument, contrib._excluded_urls
    ]
before = everything()
from otel_backendai.activation import activate
for _ in range(2):
    activate()
    assert not any(a is b for a, b in zip(everything(), before)), "all of it was patched"
    for i in instrumentors.BY_NAME.values():
        i().uninstrument()
    left = [n for n, (a, b) in enumerate(zip(everything(), before)) if a is not b]
    assert not left, (len(targets), left)
print("restored")
"""
    done = run_python(code, False, "-W", "ignore")
    assert done.stdout.strip() == "restored", done.stderr


def test_the_instrumentors_ask_for_no_library() -> None:
    """A hop waits for its target: none is left out because of a version, none imports it."""
    for kind in instrumentors.BY_NAME.values():
        assert tuple(kind().instrumentation_dependencies()) == ()


def test_the_launcher_is_there() -> None:
    """What these tests rely on."""
    assert LAUNCHER.exists()
