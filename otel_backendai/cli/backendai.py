# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``backend.ai otel``, and the activation of servers that ``backend.ai`` starts.

Entry point of group ``backendai_cli_v10``: ``backend.ai`` imports this module at every start, and stops working when
the import raises. So it costs milliseconds, and the one thing that it does is done on request of the environment, for
a command line that starts a server.
"""

import os
import sys

import click

from otel_backendai import __version__
from otel_backendai.cli.lazy_group import LazyCommand, LazyGroup
from otel_backendai.component import component_of
from otel_backendai.guard import Guard
from otel_backendai.names import SETTING_ACTIVATE

_LOAD = Guard("backend.ai command")


@click.group(
    "otel",
    cls=LazyGroup,
    lazy={
        "desk": LazyCommand("otel_backendai.cli.desk", "desk", "Receive traces and logs, and show them on a page."),
        "trace": LazyCommand("otel_backendai.cli.trace", "trace", "Show what became of a request, by its ID."),
        "version": LazyCommand(__name__, "version", "Print the version of the plugin."),
    },
)
def otel() -> None:
    """Request IDs and traces of Backend.AI (otel-backendai)."""


@click.command()
def version() -> None:
    """Print the version of the plugin."""
    click.echo(__version__)


def _activate_server() -> None:
    if os.environ.get(SETTING_ACTIVATE) in ("1", "true") and component_of(sys.argv) is not None:
        from otel_backendai.activation import activate

        activate()


with _LOAD:
    _activate_server()
