# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The commands. Imports nothing: ``backend.ai`` loads this package at each of its starts."""


def main() -> None:
    """Run ``otel-backendai``; ends the process with the command's status."""
    from otel_backendai.cli.root import otel_backendai

    otel_backendai()
