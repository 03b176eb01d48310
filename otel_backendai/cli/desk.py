# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``otel-backendai desk``: the desk in the foreground."""

import asyncio
import os
import signal
from urllib.parse import urlsplit

import click

from otel_backendai.desk.server import Desk

_DEFAULT_PORT = 4318  # OTLP/HTTP's own, so that exporters need no configuration
_DRAIN_TIMEOUT = 2.5


class _UsageProblem(click.ClickException):
    """One sentence on stderr, exit status 2."""

    exit_code = 2


@click.command("desk")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=str(_DEFAULT_PORT), show_default=True, help="Port to listen at; 0 takes a free one.")
@click.option("--forward", metavar="URL", help="Base URL of an OTLP/HTTP receiver that gets a copy of everything.")
def desk(host: str, port: str, forward: str | None) -> None:
    """Receive traces and logs by OTLP/HTTP, keep the recent ones in memory, and show them on a page.

    Runs until Ctrl-C. There is no password: at an address other than loopback, everybody who reaches the port reads
    and writes.
    """
    asyncio.run(_serve(host, _port(port), _forward_url(forward)))


async def _serve(host: str, port: int, forward: str | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    running = Desk(forward_to=forward)
    try:
        await running.start(host, port)
    except OSError as error:
        # asyncio puts a sentence with the address into strerror; a failed name look-up has a negative errno.
        code = error.errno or 0
        reason = os.strerror(code) if code > 0 else error.strerror
        raise _UsageProblem(f"cannot listen at {host} port {port}: {reason}") from error
    click.echo(f"The desk is at {running.url} (OTLP/HTTP and page). Ctrl-C stops it.")
    try:
        await stopped.wait()
        await running.drain(_DRAIN_TIMEOUT)
    finally:
        await running.stop()


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 65535):
        raise _UsageProblem("--port must be a number from 0 to 65535")
    return int(text)


def _forward_url(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise _UsageProblem("--forward must be a URL like http://127.0.0.1:4318")
    return text
