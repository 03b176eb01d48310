# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``otel-backendai desk``: the desk in the foreground."""

import asyncio
import os
import signal

import click

from otel_backendai.cli.arguments import UsageError, port_number, receiver_url
from otel_backendai.desk.server import Desk

_DEFAULT_PORT = 4318  # OTLP/HTTP's own, so that exporters need no configuration
_DRAIN_TIMEOUT = 2.5


@click.command("desk")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=str(_DEFAULT_PORT), show_default=True, help="Port to listen at; 0 takes a free one.")
@click.option("--forward", metavar="URL", help="Base URL of an OTLP/HTTP receiver that gets a copy of everything.")
def desk(host: str, port: str, forward: str | None) -> None:
    """Receive traces and logs by OTLP/HTTP, keep the recent ones in memory, and show them on a page.

    Runs until Ctrl-C. There is no password: at an address other than loopback, everybody who reaches the port reads
    and writes.
    """
    if not host:
        raise UsageError("--host must name an address; an empty one would be all of this machine's")
    receiver = receiver_url("--forward", forward) if forward is not None else None
    asyncio.run(_serve(host, port_number("--port", port), receiver))


async def _serve(host: str, port: int, forward: str | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    running = Desk(forward_to=forward)
    if running.forwarder is not None:
        running.forwarder.on_first_error = lambda error: click.echo(f"Not forwarded: {error}", err=True)
    try:
        await running.start(host, port)
    except UnicodeError as error:
        raise UsageError(f"cannot listen at {host!r}: this is no host name") from error
    except OSError as error:
        # asyncio puts a sentence with the address into strerror; a failed name look-up has a negative errno.
        code = error.errno or 0
        reason = os.strerror(code) if code > 0 else error.strerror
        raise UsageError(f"cannot listen at {host} port {port}: {reason}") from error
    click.echo(f"The desk is at {running.url} (OTLP/HTTP and page). Ctrl-C stops it.")
    try:
        await stopped.wait()
        await running.drain(_DRAIN_TIMEOUT)
    finally:
        await running.stop()
        if running.forwarder is not None and running.forwarder.forward_errors:
            lost = running.forwarder.forward_errors
            click.echo(f"Requests that were not forwarded: {lost}; the last: {running.forwarder.last_error}", err=True)
