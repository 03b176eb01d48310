# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Runs a release's scenario: with the plugin in the client, each step under a request ID of its own, or without."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.realstack.matrix.observation import Response, Step
from tests.realstack.stack.control import client_environment, client_telemetry
from tests.realstack.stack.settings import HERE, Stack, StackError

_TIMEOUT = 300


def drive(stack: Stack) -> list[Step]:
    """Go through the scenario; a step that failed is among the steps, with its error.

    Raises:
        StackError: The client ended before its first step.
    """
    command = [stack.python.parent / "opentelemetry-instrument", stack.python, HERE / "drive.py"]
    return [_step(**step) for step in _report(stack, command, client_telemetry(stack))]


def drive_without(stack: Stack, *options: str) -> list[Step]:
    """The same without the plugin in the client: its steps have neither request ID nor trace.

    Args:
        stack: A running stack.
        options: Of ``smoke.py``.

    Raises:
        StackError: As :func:`drive`.
    """
    steps = _report(stack, [stack.python, HERE / "smoke.py", *options], {})
    return [Step(request_id="", trace_id="", **step) for step in steps]


def _step(responses: Sequence[dict[str, Any]], **rest: Any) -> Step:
    return Step(responses=[Response(**response) for response in responses], **rest)


def _report(stack: Stack, command: Sequence[Path | str], more: dict[str, str]) -> list[dict[str, Any]]:
    environment = os.environ | client_environment(stack) | more
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "steps.json")
        done = subprocess.run([*command, "--quiet", "--report", report], env=environment, timeout=_TIMEOUT, check=False)
        if not report.exists():
            raise StackError(f"the client of {stack.release} ended with {done.returncode}, see above")
        steps: list[dict[str, Any]] = json.loads(report.read_text())
    if done.returncode and not any(step["error"] for step in steps):
        raise StackError(f"the client of {stack.release} ended with {done.returncode}, see above")
    return steps
