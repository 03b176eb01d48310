# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``otel-backendai``, the command line of the package."""

import click

from otel_backendai import __version__
from otel_backendai.cli.lazy_group import LazyCommand, LazyGroup


@click.group(
    "otel-backendai",
    cls=LazyGroup,
    lazy={
        "demo": LazyCommand("otel_backendai.cli.demo", "demo", "Run a small cluster and show its requests."),
        "desk": LazyCommand("otel_backendai.cli.desk", "desk", "Receive traces and logs, and show them on a page."),
        "enable": LazyCommand(
            "otel_backendai.cli.startup_hook", "enable", "Let interpreters here activate by environment."
        ),
        "disable": LazyCommand("otel_backendai.cli.startup_hook", "disable", "Undo enable."),
        "trace": LazyCommand("otel_backendai.cli.trace", "trace", "Show what became of a request, by its ID."),
    },
)
@click.version_option(__version__, prog_name="otel-backendai")
def otel_backendai() -> None:
    """One request ID and one W3C trace through every hop of a Backend.AI cluster."""
