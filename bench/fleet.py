# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""One server process per variant and their peer, measured in turn, so that what disturbs the machine hits all alike."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import load
from bench.scenarios import NOTHING, OURS, SCENARIOS, VARIANTS, Scenario, requests_of

_START_TIMEOUT = 20.0
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Sample:
    """One block of requests to one server.

    Args:
        scenario: Name of the scenario.
        variant: Who traced the server.
        micros: CPU time of the server process per request, in microseconds.
        missing_spans: Spans that were made or expected and not exported (a full queue drops some).
    """

    scenario: str
    variant: str
    micros: float
    missing_spans: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident set of one server process, in bytes.

    Args:
        variant: Who traced the server.
        start: Before the first request.
        middle: After half of the measured requests: allocator and queues have reached their size by then.
        end: After all of them.
        requests: How many were measured.
    """

    variant: str
    start: int
    middle: int
    end: int
    requests: int

    @property
    def growth_per_10k(self) -> float:
        """Bytes that the process grew per 10,000 requests in the second half of its life."""
        return (self.end - self.middle) / (self.requests / 2) * 10_000


class _Process:
    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    async def ask(self) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return await _read(self._process)


async def _read(process: asyncio.subprocess.Process) -> dict[str, float]:
    assert process.stdout is not None
    async with asyncio.timeout(_START_TIMEOUT):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a process of the benchmark ended early; its error is above")
    answer: dict[str, float] = json.loads(line)
    return answer


@asynccontextmanager
async def _running(module: str, *arguments: str) -> AsyncIterator[_Process]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=environment,
    )
    try:
        yield _Process(process, int((await _read(process))["port"]))
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


async def run_fleet(*, rounds: int, block: int, warm_up: int, exporter: str) -> tuple[list[Sample], list[Memory]]:
    """Start a process per variant, warm them up, measure ``rounds`` rounds, and end them.

    Args:
        rounds: An even number; in each, every scenario is measured once per variant, in an order that rotates.
        block: Requests per measurement.
        warm_up: Requests of each scenario before the first measurement.
        exporter: A key of :data:`bench.scenarios.EXPORTERS`; the sink is the peer process.

    Raises:
        RuntimeError: A process ended early, or a variant does not do what it is measured for.
    """
    samples: list[Sample] = []
    async with AsyncExitStack() as stack:
        peer = await stack.enter_async_context(_running("bench.peer"))
        url = f"http://127.0.0.1:{peer.port}"
        addresses = f"{url}/volume", exporter, f"{url}/v1/traces"
        servers = {
            variant: await stack.enter_async_context(_running("bench.server", variant, *addresses))
            for variant in VARIANTS
        }
        requests = {(s.name, v): requests_of(s, v) for s in SCENARIOS for v in VARIANTS}
        start = {variant: await server.ask() for variant, server in servers.items()}
        for scenario in SCENARIOS:
            for variant, server in servers.items():
                await _prove(server, scenario, variant, requests[scenario.name, variant])
                await load.send(server.port, requests[scenario.name, variant], warm_up)
        middle = start
        for number in range(rounds):
            if number == rounds // 2:
                middle = {variant: await server.ask() for variant, server in servers.items()}
            for scenario in SCENARIOS:
                for variant in _rotated(VARIANTS, number):
                    sent = requests[scenario.name, variant]
                    samples.append(await _measure(servers[variant], scenario, variant, sent, block))
        measured = rounds * block * len(SCENARIOS)
        memory = [
            Memory(
                variant,
                int(start[variant]["resident"]),
                int(middle[variant]["resident"]),
                int((await server.ask())["resident"]),
                measured,
            )
            for variant, server in servers.items()
        ]
    return samples, memory


def _rotated(variants: Sequence[str], by: int) -> Sequence[str]:
    by %= len(variants)
    return [*variants[by:], *variants[:by]]


async def _measure(server: _Process, scenario: Scenario, variant: str, sent: Sequence[bytes], block: int) -> Sample:
    before = await server.ask()
    await load.send(server.port, sent, block)
    after = await server.ask()
    expected = 0 if variant == NOTHING else block * scenario.spans
    return Sample(
        scenario.name,
        variant,
        (after["cpu_until"] - before["cpu_from"]) / block * 1e6,
        expected - int(after["spans"] - before["spans"]),
    )


async def _prove(server: _Process, scenario: Scenario, variant: str, sent: Sequence[bytes]) -> None:
    """One request: the spans are made, ours answers with a request ID, and the peer was sent what belongs to it."""
    before = await server.ask()
    answer = await load.send(server.port, sent, 1)
    spans = (await server.ask())["spans"] - before["spans"]
    names = answer.lower()
    if spans != (0 if variant == NOTHING else scenario.spans):
        raise RuntimeError(f"{variant} made {spans:.0f} spans of one request: {scenario.name}")
    if (b"\r\nx-backend-request-id:" in names) is not (variant == OURS):
        raise RuntimeError(f"{variant} answered with the wrong headers: {scenario.name}")
    if scenario.spans > 1:
        to_peer = {NOTHING: b'"peer": ""', OURS: b'"peer": "traceparent,x-request-id"'}
        if to_peer.get(variant, b'"peer": "traceparent"') not in names:
            raise RuntimeError(f"{variant} sent the wrong headers to the peer: {scenario.name}")
