# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``otel-backendai demo``: the command line. What it does is in ``demo_run``, imported when all packages are there."""

import asyncio
import importlib.util
import sys

import click

from otel_backendai.cli.arguments import UsageError, port_number, receiver_url
from otel_backendai.request_id import is_acceptable

# What the extra `demo` brings, as modules.
_NEEDED = (
    "aiotools",
    "callosum",
    "fakeredis",
    "msgpack",
    "rich",
    "zmq",
)


@click.command("demo")
@click.option("--once", is_flag=True, help="End after the flows: status 0 if every hop kept ID and trace, else 1.")
@click.option("--request-id", metavar="ID", help="Request ID of the flows that a client begins [default: new ones].")
@click.option("--endpoint", metavar="URL", help="Base URL of an OTLP/HTTP receiver that gets a copy of everything.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of trees.")
@click.option("--port", default="0", metavar="PORT", help="Port of the desk at 127.0.0.1 [default: any free one].")
def demo(once: bool, request_id: str | None, endpoint: str | None, as_json: bool, port: str) -> None:
    """Run a small cluster under opentelemetry-instrument and show what becomes of its requests.

    Starts Redis, the desk (a receiver with a page) and Backend.AI's components in miniature, runs three flows
    (session creation, vfolder upload, background work) and prints their traces and log lines. Then it stays, with the
    page, until Ctrl-C. Everything is on loopback, and nothing is left running.
    """
    desk_port = port_number("--port", port)
    receiver = None if endpoint is None else receiver_url("--endpoint", endpoint)
    if request_id is not None and not is_acceptable(request_id):
        raise UsageError("--request-id must be 1 to 128 characters of A-Z a-z 0-9 . _ : / + = @ -")
    if not all(map(_is_installed, _NEEDED)):
        raise UsageError("packages of the demo are missing; install them: pip install 'otel-backendai[demo]'")
    from otel_backendai.cli.demo_run import DemoOptions, run_demo

    options = DemoOptions(once=once, request_id=request_id, endpoint=receiver, as_json=as_json, port=desk_port)
    sys.exit(asyncio.run(run_demo(options)))


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
