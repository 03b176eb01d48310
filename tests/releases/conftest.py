# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Released wheels, in the virtual environment of their release (tests/releases/run.sh); nothing is skipped.

A test of what only some releases have says which, ``@pytest.mark.releases(since="25.15", before="26.9")``, and is
deselected elsewhere.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version

import pytest
from opentelemetry import context as context_api
from opentelemetry import propagate, trace

from otel_backendai import guard, instrumentors
from otel_backendai.hops import deferred, tokens
from otel_backendai.hops.kept_contexts import KeptContexts
from otel_backendai.hops.kept_settings import DEFAULT_LIMIT, DEFAULT_TTL
from otel_backendai.names import SESSION_CHANNEL, SESSION_KEY_PREFIX
from otel_backendai.releases import endpoint_registration, kernels, scheduling_records, session_waits
from tests.conftest import Telemetry
from tests.releases.bus import Bus, open_bus

RELEASE = version("backend.ai-common")
FAMILY = ".".join(RELEASE.split(".")[:2])


def pytest_report_header() -> str:
    """Name the release under test."""
    return f"Backend.AI {RELEASE}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of other releases."""
    chosen: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        marker = item.get_closest_marker("releases")
        (chosen if marker is None or _is_between(**marker.kwargs) else others).append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=others)


def _is_between(since: str = "0", before: str = "9999") -> bool:
    return _numbers(since) <= _numbers(RELEASE) < _numbers(before)


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))


def switched_on(telemetry: Telemetry, *but: str) -> None:
    """Switch every hop and its adapters on, except those whose instrumentors are named."""
    for name, instrumentor in instrumentors.BY_NAME.items():
        if name not in but:
            instrumentor().hop.install(telemetry.provider)


def switch_off() -> None:
    """Switch every hop off."""
    for instrumentor in instrumentors.BY_NAME.values():
        instrumentor().hop.uninstall()


@pytest.fixture(scope="session", autouse=True)
def _provider() -> Telemetry:
    """The global provider of the test process, which upstream's own spans go to as well: it can be set once only."""
    telemetry = Telemetry()
    trace.set_tracer_provider(telemetry.provider)
    return telemetry


@pytest.fixture
def recorded(_provider: Telemetry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    """Spans in memory, upstream's included, and no hop on; a bug of ours fails the test."""
    monkeypatch.setattr(guard, "strict", True)
    monkeypatch.setattr(
        deferred, "sessions", KeptContexts(SESSION_KEY_PREFIX, DEFAULT_LIMIT, DEFAULT_TTL, SESSION_CHANNEL)
    )
    monkeypatch.setattr(tokens, "tokens", tokens.token_table())
    scheduling_records.forget()
    endpoint_registration.forget()
    kernels.forget()
    session_waits.forget()
    _provider.exporter.clear()
    propagator, before = propagate.get_global_textmap(), context_api.get_current()
    yield _provider
    switch_off()
    propagate.set_global_textmap(propagator)
    assert context_api.get_current() == before


@pytest.fixture
def telemetry(recorded: Telemetry) -> Telemetry:
    """All hops on."""
    switched_on(recorded)
    return recorded


@pytest.fixture(scope="session")
def redis_port() -> Iterator[int]:
    """The port of a Redis server of our own."""
    binary = shutil.which("redis-server")
    assert binary, "redis-server is missing (Debian: apt-get install redis-server)"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
async def bus(redis_port: int) -> AsyncIterator[Bus]:
    """The release's own EventProducer and EventDispatcher above an empty Redis, not started yet."""
    async with open_bus(redis_port) as opened:
        yield opened
