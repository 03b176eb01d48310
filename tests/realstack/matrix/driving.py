# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Runs a release's scenario with the plugin in the client, each step under a request ID of its own."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from tests.realstack.matrix.observation import Step
from tests.realstack.stack.control import client_environment, client_telemetry
from tests.realstack.stack.settings import HERE, Stack, StackError

_TIMEOUT = 300


def drive(stack: Stack) -> list[Step]:
    """Go through the scenario; a step that failed is among the steps, with its error.

    Raises:
        StackError: The client ended before its first step.
    """
    environment = os.environ | client_environment(stack) | client_telemetry(stack)
    bin_directory = stack.python.parent
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "steps.json")
        command = [bin_directory / "opentelemetry-instrument", stack.python, HERE / "drive.py"]
        done = subprocess.run([*command, "--quiet", "--report", report], env=environment, timeout=_TIMEOUT, check=False)
        if not report.exists():
            raise StackError(f"the client of {stack.release} ended with {done.returncode}, see above")
        steps = [Step(**step) for step in json.loads(report.read_text())]
    if done.returncode and not any(step.error for step in steps):
        raise StackError(f"the client of {stack.release} ended with {done.returncode}, see above")
    return steps
