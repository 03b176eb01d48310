# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Forked workers under ``opentelemetry-instrument``: what they made arrives, whole, and names its own process."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from tests.integration.conftest import free_port
from tests.integration.otlp_receiver import Receiver, otlp_receiver

ROOT = Path(__file__).parents[2]
LAUNCHER = Path(sys.executable).parent / "opentelemetry-instrument"
BY_LAUNCHER = (str(LAUNCHER), sys.executable, "-m")
# As `backend.ai` does through its entry point, and code through `activate()`; here no variable names the component
# to the workers.
BY_CODE = (
    sys.executable,
    "-c",
    "import os, runpy, sys; from otel_backendai.activation import activate; activate(); del sys.argv[0]; "
    "del os.environ['OTEL_BACKENDAI_COMPONENT']; "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)",
)


def environment(receiver: Receiver, **more: str) -> dict[str, str]:
    """The environment of a component: no OTEL_* of the caller, export to ``receiver``, long delays.

    Long, so that nothing but the flush at the end can have sent what arrives.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return {
        **clean,
        "OTEL_SERVICE_NAME": "forking",
        "OTEL_BACKENDAI_COMPONENT": "manager",
        "OTEL_PYTHON_CONFIGURATOR": "backendai",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_BSP_SCHEDULE_DELAY": "60000",
        "OTEL_BLRP_SCHEDULE_DELAY": "60000",
        **more,
    }


class Server:
    """A running forking server."""

    def __init__(self, process: asyncio.subprocess.Process, base: str) -> None:
        self.process = process
        self.base = base

    async def ask(self, count: int) -> set[int]:
        """Send that many requests, each over a connection of its own; returns the pids that answered."""
        pids = set()
        connector = aiohttp.TCPConnector(force_close=True, limit=20)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def one(number: int) -> None:
                async with session.get(f"{self.base}/work?n={number}") as response:
                    pids.add((await response.json())["pid"])

            await asyncio.gather(*(one(number) for number in range(count)))
        return pids

    async def ask_until(self, workers: int) -> tuple[set[int], int]:
        """Ask until that many workers have answered, not all of which are up yet; returns their pids and the number."""
        pids, asked = await self.ask(20), 20
        while len(pids) < workers:
            assert asked < 2000, "the other workers never answered"
            await asyncio.sleep(0.1)
            pids |= await self.ask(20)
            asked += 20
        return pids, asked


@asynccontextmanager
async def server(
    receiver: Receiver, workers: int = 2, way_in: tuple[str, ...] = BY_LAUNCHER, method: str = "", **more: str
) -> AsyncIterator[Server]:
    """Start the server under the launcher and wait until it answers; afterwards nothing of it is left."""
    port = free_port()
    command = [*way_in, "tests.integration.apps.forking_server", str(port), str(workers), method]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment(receiver, **more), start_new_session=True
    )
    try:
        async with aiohttp.ClientSession() as session:
            for _ in range(200):
                try:
                    async with session.get(f"http://127.0.0.1:{port}/nothing"):
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.1)
        yield Server(process, f"http://127.0.0.1:{port}")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@pytest.mark.parametrize("signals", [1, 10], ids=["SIGTERM", "SIGTERM again and again, to the whole group"])
async def test_no_span_is_lost_when_workers_end(signals: int) -> None:
    """All spans and log records of all workers arrive, from a flush at the end, each with the worker's own identity."""
    with otlp_receiver() as receiver:
        async with server(receiver) as running:
            pids = await running.ask(200)
            assert len(pids) == 2
            running.process.terminate()
            for _ in range(signals - 1):
                await asyncio.sleep(0.02)
                with suppress(ProcessLookupError):
                    os.killpg(running.process.pid, signal.SIGTERM)
            status = await asyncio.wait_for(running.process.wait(), 10)
            assert status == 0 or signals > 1
        work = [span for span in receiver.spans if span.name == "GET /work"]
        assert len(work) == 200
        assert len({span.trace_id for span in work}) == 200
        assert {span.resource["process.pid"] for span in work} == pids
        instances = {(span.resource["process.pid"], span.resource["service.instance.id"]) for span in work}
        assert len(instances) == len({instance for _, instance in instances}) == 2
        assert {span.resource["service.name"] for span in receiver.spans} == {"forking"}
        lines = [log for log in receiver.logs if log.body.startswith("working on")]
        assert len(lines) == 200
        assert {(log.trace_id, log.span_id) for log in lines} == {(span.trace_id, span.span_id) for span in work}
        request_ids = {span.span_id: span.attributes["backendai.request.id"] for span in work}
        assert all(log.attributes["backendai.request.id"] == request_ids[log.span_id] for log in lines)
        assert any(log.body.endswith("starts") for log in receiver.logs), "the parent's records arrive as well"


async def test_an_instance_id_of_the_operator_is_extended_per_worker() -> None:
    """OTEL_RESOURCE_ATTRIBUTES=service.instance.id=x gives x-0 and x-1, not x twice and no random one."""
    with otlp_receiver() as receiver:
        async with server(receiver, OTEL_RESOURCE_ATTRIBUTES="service.instance.id=node7") as running:
            await running.ask(100)
            running.process.terminate()
            await asyncio.wait_for(running.process.wait(), 10)
        instances = {span.resource["service.instance.id"] for span in receiver.spans if span.name == "GET /work"}
        assert instances == {"node7-0", "node7-1"}


async def test_a_hanging_collector_costs_requests_nothing_and_the_end_no_more_than_the_budget() -> None:
    """Requests are served as ever, and SIGTERM ends the service before aiotools kills its workers (5 s)."""
    with otlp_receiver(hang=threading.Event()) as receiver:
        async with server(receiver, OTEL_BSP_SCHEDULE_DELAY="50", OTEL_BACKENDAI_FLUSH_TIMEOUT="1.5") as running:
            assert len(await running.ask(100)) == 2
            await asyncio.sleep(0.3)
            assert len(await asyncio.wait_for(running.ask(100), 10)) == 2
            running.process.terminate()
            started = time.monotonic()
            assert await asyncio.wait_for(running.process.wait(), 10) == 0
            # Workers flush side by side, then the parent: two budgets. Generous, a bound and no measurement.
            assert time.monotonic() - started < 4.9


@pytest.mark.parametrize("way_in", [BY_LAUNCHER, BY_CODE], ids=["launcher", "code"])
async def test_spawned_workers(way_in: tuple[str, ...]) -> None:
    """A new interpreter is a worker of the component like any other: active once, its own identity, flushed at the end.

    What its own subprocesses are told is nothing.
    """
    with otlp_receiver() as receiver:
        async with server(
            receiver, 2, way_in, "spawn", OTEL_RESOURCE_ATTRIBUTES="service.instance.id=node7"
        ) as running:
            pids, asked = await running.ask_until(2)
            async with aiohttp.ClientSession() as session, session.get(f"{running.base}/child") as response:
                assert (await response.json())["component"] == "None"
            running.process.terminate()
            assert await asyncio.wait_for(running.process.wait(), 15) == 0
        work = [span for span in receiver.spans if span.name == "GET /work"]
        assert len(work) == asked
        assert {span.resource["process.pid"] for span in work} == pids
        assert {span.resource["service.instance.id"] for span in work} == {"node7-0", "node7-1"}
