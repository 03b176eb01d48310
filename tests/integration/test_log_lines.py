# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the components of the example write to their logs when log records are not exported: real processes."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from backendai_example.topology import COMPONENTS, FLOWS, client_command
from otel_backendai.cli.cluster_environment import component_environment, free_addresses
from otel_backendai.cli.process_groups import ProcessGroups, StartedProcess
from tests.integration.otlp_receiver import Receiver, otlp_receiver

TIMEOUT = 60
POLL_INTERVAL = 0.1
REQUEST_ID = "req-log-lines"
SERVED = {component.name for component in COMPONENTS}
IDS = re.compile(r"request_id=(\S+) trace_id=(\S+) span_id=(\S+)")
# The last span of the session flow, and the last of the upload flow.
LAST_SPANS = {("manager", "process session_started"), ("storage-proxy", "PUT /upload")}

Ids = tuple[str | None, str | None, str | None]


def ids_in_text(line: str) -> Ids:
    """Request, trace and span ID in a line of text; "-" where the record had none."""
    found = IDS.search(line)
    return (found[1], found[2], found[3]) if found else (None, None, None)


def ids_in_json(line: str) -> Ids:
    """Request, trace and span ID in a line of JSON."""
    fields = json.loads(line)
    return fields.get("request_id"), fields.get("otelTraceID"), fields.get("otelSpanID")


async def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait until it is so; fails after a minute."""
    deadline = time.monotonic() + TIMEOUT
    while not is_so():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(POLL_INTERVAL)


def accepts(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def has_ended(process: StartedProcess) -> bool:
    """Whether it runs no more."""
    return not process.running


async def run_both_flows(directory: Path, redis_url: str, receiver: Receiver, form: str) -> list[StartedProcess]:
    """Run the cluster and both clients, log records not exported, to the end; returns the processes with their logs."""
    addresses = {**free_addresses(), "EXAMPLE_REDIS_URL": redis_url}
    groups = ProcessGroups(directory)
    processes = []

    def start(name: str, command: tuple[str, ...]) -> StartedProcess:
        environment = component_environment(name, addresses, receiver.url)
        environment |= {"OTEL_LOGS_EXPORTER": "none", "EXAMPLE_LOG_FORMAT": form}
        # Those of old packages at import go to the same place as the log, and are no lines of it.
        environment["PYTHONWARNINGS"] = "ignore"
        processes.append(groups.start(name, command, environment, instrument=True))
        return processes[-1]

    try:
        for component in COMPONENTS:
            start(component.name, component.command)
        for component, process in zip(COMPONENTS, list(processes), strict=True):
            for host, port in component.endpoints(addresses):
                await until(partial(accepts, host, port), f"{component.name} listens")
            process.check_running()
        for name in ("session", "upload"):
            client = start("client", client_command(FLOWS[name], REQUEST_ID))
            await until(partial(has_ended, client), f"the end of {name}")
            assert client.popen.returncode == 0, str(client.ended())
        await until(lambda: set(span_names(receiver)) >= LAST_SPANS, "the last spans")
    finally:
        await groups.stop()
    return processes


def span_names(receiver: Receiver) -> list[tuple[str, str]]:
    """Component and name of every span of the request that has arrived."""
    return [
        (span.resource["service.name"], span.name)
        for span in list(receiver.spans)
        if span.attributes.get("backendai.request.id") == REQUEST_ID
    ]


@pytest.mark.parametrize(("form", "ids_in"), [("text", ids_in_text), ("json", ids_in_json)])
async def test_lines_of_all_components(form: str, ids_in: Callable[[str], Ids], redis_url: str, tmp_path: Path) -> None:
    """Without the export of log records, each component's lines carry request, trace and span ID of its own spans."""
    with otlp_receiver() as receiver:
        processes = await run_both_flows(tmp_path, redis_url, receiver, form)
    assert receiver.logs == []
    spans = {(span.resource["service.name"], span.trace_id, span.span_id) for span in receiver.spans}
    with_request = set()
    for process in processes:
        lines = [line for line in process.log.read_text().splitlines() if line]
        # The last line of a client is its result.
        lines = lines[:-1] if process.name == "client" else lines
        assert lines, process.name
        for line in lines:
            request_id, trace_id, span_id = ids_in(line)
            inside = (process.name, trace_id, span_id) in spans
            # Outside of any span, as at the start of a component, these are what an empty record shows.
            assert inside or (trace_id, span_id) == ("0", "0"), line
            if request_id == REQUEST_ID and inside:
                with_request.add(process.name)
    assert with_request >= SERVED
