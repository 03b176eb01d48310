# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the installed release does by itself, read off its sources: all of it is known, and silent when idle."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ai.backend.common
import pytest

from otel_backendai.hops import noise
from otel_backendai.instrumentors import BackgroundInstrumentor
from otel_backendai.releases.background import _Observer, _PeriodicTask
from tests.conftest import Telemetry
from tests.releases.bus import FAMILY

_ROOT = Path(ai.backend.common.__file__).parents[1]
_COMPONENTS = ("agent", "appproxy", "common", "manager", "storage", "web")

# These are sent by requests or by agents about one thing, never by a timer.
ASKED_FOR = {
    "do_agent_resource_check",
    "do_sync_kernel_logs",
    "do_terminate_session",
    "do_volume_mount",
    "do_volume_unmount",
}
# Each run of these makes a span: once an hour or a day, or as configured, and always with something to do.
SEEN = {"openid.jwks_refresh", "retention_sweep"}
# The same as a timer, in 26.4.0.
SEEN_TIMERS = {"update_jwks"}
# How often these run is a matter of configuration; by default, every minute or more often.
CONFIGURED = {
    "collect_container_stat",
    "collect_node_stat",
    "collect_process_stat",
    "heartbeat",
    "service_discovery_heartbeat",
    "sync_container_lifecycles",
    "volume_stats",
    "worker_heartbeat",
}


def sources() -> Iterator[tuple[str, str]]:
    """Modules of the release and their texts."""
    for component in _COMPONENTS:
        for path in (_ROOT / component).rglob("*.py"):
            parts = path.relative_to(_ROOT).with_suffix("").parts
            if "cli" not in parts:
                yield ".".join(("ai", "backend", *parts)), path.read_text()


def test_ticks() -> None:
    """Every event that a timer sends makes no span by itself."""
    text = "".join(text for module, text in sources() if module.startswith("ai.backend.common.events"))
    names = set(re.findall(r"\"(do_[a-z_]+)\"", text))
    assert names >= {"do_idle_check", "do_terminate_session"}
    assert {name for name in names if not noise.is_noise_event(name)} <= ASKED_FOR


@pytest.mark.releases(before="26.4.4")
def test_timers() -> None:
    """Every timer is made by the one function that is wrapped, by its name there, and is quiet when idle."""
    found: dict[str, str] = {}
    for module, text in sources():
        if "create_timer" not in text:
            continue
        by_name = re.search(r"^from aiotools import .*\bcreate_timer\b", text, re.MULTILINE) is not None
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("create_timer"):
                callback: Any = node.args[0]
                while isinstance(callback, ast.Call):
                    callback = callback.args[0]
                made = "aiotools.create_timer" if by_name else ast.unparse(node.func)
                found[ast.unparse(callback).rpartition(".")[2]] = f"{module} {made}"
    assert len(found) >= 10
    assert {made.rpartition(" ")[2] for made in found.values()} == {"aiotools.create_timer"}
    assert {name for name in found if not noise.is_noise_timer(name)} <= SEEN_TIMERS


@pytest.mark.releases(since="25.15")
async def test_periodic_tasks_and_observers(recorded: Telemetry) -> None:
    """A run that finds nothing to do makes no span, but for the few that always do something."""
    BackgroundInstrumentor().hop.install(recorded.provider)
    configured, ran = set(), set()
    for base, found in periodic():
        what = type(found.__name__, (found,), {})
        interval = "interval" if base == "PeriodicTask" else "observe_interval"
        run = "run" if base == "PeriodicTask" else "observe"
        made: Any = object.__new__(what)
        name = found.name.fget(made)
        ran.add(name)
        try:
            seconds = getattr(made, interval)
            _ = seconds() if callable(seconds) else seconds
        except AttributeError:
            configured.add(name)
            setattr(what, interval, 86_400.0 if name in SEEN else 60.0)

        async def nothing(self: Any) -> None:
            return None

        setattr(what, run, nothing)
        await (_PeriodicTask(made).run() if base == "PeriodicTask" else _Observer(made).observe())
    assert configured <= CONFIGURED | SEEN
    assert {span.name for span in recorded.spans} == SEEN & ran
    assert {"agent_host_port"} < ran
    if FAMILY >= (26, 4):
        assert {"bgtask_retry", "orphan_kernel_cleanup", "kernel_presence"} <= ran


def periodic() -> Iterator[tuple[str, Any]]:
    """The classes of periodic tasks and observers, each with the name of its base."""
    for module, text in sources():
        for name, base in re.findall(r"^class (\w+)\((PeriodicTask|AbstractObserver)\):", text, re.MULTILINE):
            if name != "EventProducerTask":
                yield base, getattr(importlib.import_module(module), name)
