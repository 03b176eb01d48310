# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What ``otel-backendai demo`` does, from the desk's start until nothing runs any more."""

import asyncio
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aiohttp
import click

from otel_backendai.cli.arguments import UsageError
from otel_backendai.cli.cluster import Cluster
from otel_backendai.cli.demo_json import demo_json
from otel_backendai.cli.endpoint_text import reason_of, shown_endpoint
from otel_backendai.cli.flows import FlowRun, run_flows
from otel_backendai.cli.interruption import Interruption
from otel_backendai.cli.process_groups import ProcessError
from otel_backendai.cli.tree import make_console, render_flow
from otel_backendai.desk.server import Desk

_PROBE_TIMEOUT = aiohttp.ClientTimeout(total=5)
_DRAIN_TIMEOUT = 5.0
_WATCH_INTERVAL = 0.5


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The checked arguments of the command."""

    once: bool
    request_id: str | None
    endpoint: str | None
    as_json: bool
    port: int


async def run_demo(options: DemoOptions) -> int:
    """Run the demo; returns the exit status.

    0 when every hop kept request ID and trace; 1 when one did not, a process failed, or the receiver did not take
    everything; 128 + N when signal N came before the flows were through.

    Raises:
        click.ClickException: The desk's port cannot be had, or the receiver cannot be reached.
    """
    with tempfile.TemporaryDirectory(prefix="otel-backendai-demo-", ignore_cleanup_errors=True) as directory:
        demo = _Demo(options, Path(directory))
        interruption = Interruption(demo.kill)
        try:
            with interruption.cancels():
                await demo.run()
        except ProcessError as error:
            demo.fail(str(error))
        finally:
            await demo.stop()
    interruption.end()
    if demo.errors:
        return 1
    return 0 if demo.shown or interruption.number is None else 128 + interruption.number


class _Demo:
    """One run of the demo. ``shown`` tells whether its result is out, ``errors`` why its status is 1."""

    def __init__(self, options: DemoOptions, directory: Path) -> None:
        self._options = options
        self._desk = Desk(forward_to=options.endpoint)
        self._cluster = Cluster(directory, _report)
        self._runs: list[FlowRun] = []
        self.errors: list[str] = []
        self.shown = False

    async def run(self) -> None:
        """Start everything, run the flows and show them; then, unless once, stay. Raises :class:`ProcessError`."""
        options = self._options
        if options.endpoint is not None:
            await _check_receiver(options.endpoint)
        await self._start_desk()
        _report(f"the desk is ready: {self._desk.url}")
        await self._cluster.start(self._desk.url)
        _report("running the flows")
        console = None if options.as_json else make_console()
        async for run in run_flows(self._cluster, self._desk.store, options.request_id):
            self._runs.append(run)
            if console is not None:
                console.print(render_flow(run, self._page(run)))
                console.print()
        await self._check_forwarded()
        self._show_result()
        if options.once:
            _report("The pages end with the demo. Without --once it stays until Ctrl-C.")
            return
        _report(f"The desk stays at {self._desk.url} until Ctrl-C.")
        while True:
            self._cluster.check_running()
            await asyncio.sleep(_WATCH_INTERVAL)

    def fail(self, error: str) -> None:
        """End with an error; it is the result unless there is one already."""
        self.errors.append(error)
        if self.shown:
            _report(f"Error: {error}")
        else:
            self._show_result()

    def kill(self) -> None:
        """End all processes at once."""
        self._cluster.groups.send(signal.SIGKILL)

    async def stop(self) -> None:
        """End all processes, send on what they still had, and stop the desk."""
        await self._cluster.groups.stop()
        if self.shown:
            await self._check_forwarded()
        await self._desk.stop()

    async def _start_desk(self) -> None:
        try:
            await self._desk.start(port=self._options.port)
        except OSError as error:
            raise UsageError(f"the desk cannot listen at port {self._options.port}: {reason_of(error)}") from error

    async def _check_forwarded(self) -> None:
        forwarder = self._desk.forwarder
        if forwarder is None or self.errors:
            return
        in_time = await self._desk.drain(_DRAIN_TIMEOUT)
        if forwarder.forward_errors or not in_time:
            reason = forwarder.last_error or f"it did not answer within {_DRAIN_TIMEOUT:.0f} s"
            self.errors.append(f"{shown_endpoint(self._options.endpoint or '')} did not take everything: {reason}")
            if self.shown:
                _report(f"Error: {self.errors[-1]}")

    def _show_result(self) -> None:
        """Print the JSON object, or on standard error what was wrong."""
        self.shown = True
        other_errors = "; ".join(self.errors)
        self.errors += [f"{run.flow.title}: {problem}" for run in self._runs for problem in run.result.problems]
        if self._options.as_json:
            pages = [self._page(run) for run in self._runs]
            endpoint = self._options.endpoint
            click.echo(demo_json(self._runs, pages, desk=self._desk.url, endpoint=endpoint, error=other_errors))
        for error in self.errors:
            _report(f"Error: {error}")

    def _page(self, run: FlowRun) -> str:
        return f"{self._desk.url}/request/{quote(run.request_id, safe='')}"


def _report(line: str) -> None:
    """A line about progress: on standard error, so that standard output holds the result alone."""
    click.echo(line, err=True)


async def _check_receiver(endpoint: str) -> None:
    """Send an empty export, which changes nothing. Raises ``ClickException`` (status 1) when it is not taken."""
    url = endpoint.rstrip("/") + "/v1/traces"
    headers = {"Content-Type": "application/x-protobuf"}
    try:
        async with (
            aiohttp.ClientSession(timeout=_PROBE_TIMEOUT) as http,
            http.post(url, data=b"", headers=headers, allow_redirects=False) as response,
        ):
            status = response.status
    except aiohttp.ClientConnectorCertificateError as error:
        # A ClientConnectorError too, but without the `os_error` of one.
        raise click.ClickException(
            f"{shown_endpoint(endpoint)} cannot be trusted: {error.certificate_error}"
        ) from error
    except aiohttp.ClientConnectorError as error:
        raise click.ClickException(
            f"{shown_endpoint(endpoint)} cannot be reached: {reason_of(error.os_error)}"
        ) from error
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        reason = str(error) or "no answer came"
        raise click.ClickException(f"{shown_endpoint(endpoint)} cannot be reached: {reason}") from error
    if status >= 300:
        raise click.ClickException(
            f"{shown_endpoint(endpoint)} does not take traces: it answered {status} to /v1/traces"
        )
