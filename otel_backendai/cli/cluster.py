# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The example cluster as running processes: order of start, readiness, and what to do when a port is taken."""

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp

from backendai_example.topology import COMPONENTS, REDIS_MODULE, Component, Flow, client_command
from otel_backendai.cli.cluster_environment import component_environment, free_addresses, inherited_environment
from otel_backendai.cli.process_groups import ProcessError, ProcessGroups, StartedProcess

_REDIS = "EXAMPLE_REDIS_URL"
_READY_TIMEOUT = 60.0
_POLL_INTERVAL = 0.1
_PROBE_TIMEOUT = aiohttp.ClientTimeout(total=2)
_ATTEMPTS = 3

Report = Callable[[str], None]


class Cluster:
    """The example cluster, exporting to one OTLP/HTTP receiver.

    Args:
        directory: Where the logs of its processes go.
        report: Called with a line whenever something is ready.
    """

    def __init__(self, directory: Path, report: Report) -> None:
        self.groups = ProcessGroups(directory)
        self._receiver_url = ""
        self._report = report
        self._addresses: dict[str, str] = {}
        self._components: list[StartedProcess] = []

    async def start(self, receiver_url: str) -> None:
        """Start Redis and every component, and wait until they are ready.

        Args:
            receiver_url: Base URL of the receiver.

        Raises:
            ProcessError: One of them ended or did not get ready. What was started runs until ``groups.stop()``.
        """
        self._receiver_url = receiver_url
        for attempt in range(1, _ATTEMPTS + 1):
            self._addresses = free_addresses()
            self._components = []
            try:
                await self._start_once()
            except ProcessError as error:
                # Between the choice of a port and its use somebody else may take it.
                if attempt == _ATTEMPTS or not error.port_was_taken:
                    raise
                self._report("a port was taken by somebody else: starting again with other ports")
                await self.groups.stop()
            else:
                return

    async def run_client(self, flow: Flow, request_id: str) -> None:
        """Run the client that begins ``flow``. Raises :class:`ProcessError` when it fails."""
        environment = self._environment("client")
        process = self.groups.start("client", client_command(flow, request_id), environment, instrument=True)
        while process.running:
            self.check_running()
            await asyncio.sleep(_POLL_INTERVAL)
        if process.popen.returncode:
            raise process.ended()

    def check_running(self) -> None:
        """Raise :class:`ProcessError` if a component has ended."""
        for process in self._components:
            process.check_running()

    def _environment(self, component: str) -> dict[str, str]:
        return component_environment(component, self._addresses, self._receiver_url)

    async def _start_once(self) -> None:
        with _first_error():
            await self._start_processes()

    async def _start_processes(self) -> None:
        async with aiohttp.ClientSession(timeout=_PROBE_TIMEOUT) as http, asyncio.TaskGroup() as tasks:
            port = self._addresses[_REDIS].rpartition(":")[2]
            redis = self.groups.start("Redis", _redis_command(port), inherited_environment(), instrument=False)
            self._components.append(redis)
            ready = {_REDIS: tasks.create_task(self._wait_until_ready(redis, [("127.0.0.1", int(port))], None, http))}
            for component in COMPONENTS:
                needs = [ready[setting] for setting in component.needs]
                task = tasks.create_task(self._start_component(component, needs, http))
                ready.update(dict.fromkeys(component.listens_on, task))

    async def _start_component(
        self, component: Component, needs: list[asyncio.Task[None]], http: aiohttp.ClientSession
    ) -> None:
        for task in needs:
            await task
        environment = self._environment(component.name)
        process = self.groups.start(component.name, component.command, environment, instrument=True)
        self._components.append(process)
        await self._wait_until_ready(process, component.endpoints(environment), component.health_path, http)

    async def _wait_until_ready(
        self,
        process: StartedProcess,
        endpoints: list[tuple[str, int]],
        health_path: str | None,
        http: aiohttp.ClientSession,
    ) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT
        for host, port in endpoints:
            while not await _answers(host, port, health_path, http):
                process.check_running()
                if time.monotonic() > deadline:
                    raise process.failure(f"was not ready after {_READY_TIMEOUT:.0f} s")
                await asyncio.sleep(_POLL_INTERVAL)
        # Whoever answered may be somebody else, at a port that the component did not get.
        process.check_running()
        self._report(f"{process.name} is ready")


@contextlib.contextmanager
def _first_error() -> Iterator[None]:
    """Let the first error of a group of tasks out, alone: the others follow from it."""
    try:
        yield
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


def _redis_command(port: str) -> tuple[str, ...]:
    server = shutil.which("redis-server")
    if server is None:
        return (sys.executable, "-m", REDIS_MODULE, "--port", port)
    return (server, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")


async def _answers(host: str, port: int, health_path: str | None, http: aiohttp.ClientSession) -> bool:
    try:
        if health_path is not None:
            async with http.get(f"http://{host}:{port}{health_path}") as response:
                return response.status == 200
        _, writer = await asyncio.open_connection(host, port)
        writer.close()
        await writer.wait_closed()
    except (OSError, aiohttp.ClientError, TimeoutError):
        return False
    return True
