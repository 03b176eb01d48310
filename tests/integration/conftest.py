# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Real servers on loopback for the integration tests."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Protocol

import pytest
from aiohttp import web

from tests.integration.otlp_servers import Authority


class ServeApp(Protocol):
    """Starts an application; returns its base URL."""

    def __call__(self, app: web.Application, cancelling: bool = True) -> Awaitable[str]:
        """`cancelling`: what a runner calls `handler_cancellation`."""


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def serve() -> AsyncIterator[ServeApp]:
    """Start an aiohttp application on a real socket; returns its base URL."""
    runners: list[web.AppRunner] = []

    async def start(app: web.Application, cancelling: bool = True) -> str:
        runner = web.AppRunner(app, handler_cancellation=cancelling, shutdown_timeout=1)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        return f"http://{host}:{port}"

    yield start
    for runner in runners:
        await runner.cleanup()


async def raw_request(base_url: str, request: bytes) -> bytes:
    """Send bytes as they are and return all that comes back until the server closes or is silent for a second."""
    host, port = base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    await writer.drain()
    received = b""
    try:
        while chunk := await asyncio.wait_for(reader.read(65536), 1):
            received += chunk
    except TimeoutError:
        pass
    writer.close()
    await writer.wait_closed()
    return received


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One for all tests: keys take time."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no setting of OpenTelemetry from outside."""
    for name in list(os.environ):
        if name.startswith("OTEL_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis of our own: ``redis-server`` where there is one, else the example's embedded server."""
    port = free_port()
    binary = shutil.which("redis-server")
    command = (
        [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        if binary
        else [sys.executable, "-m", "backendai_example.redis_server", "--port", str(port)]
    )
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
    try:
        _wait_for_port(port, process)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, "the Redis server ended at once"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("no Redis server came up")
