# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Makes sessions on a stack that runs, by ``drive_sessions.py`` in the environment of its release."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.realstack.matrix.observation import Observation, Step
from tests.realstack.matrix.reading import observe
from tests.realstack.sessions.made import Made, made_of
from tests.realstack.stack.control import client_environment, client_telemetry
from tests.realstack.stack.settings import HERE, ROOT, Stack, StackError

_TIMEOUT = 240


def drive(stack: Stack, *options: str, plugin: bool = True) -> list[Made]:
    """Make sessions at once and end them.

    Args:
        stack: A stack that runs.
        options: Of ``drive_sessions.py``.
        plugin: Whether the client runs under the plugin.

    Raises:
        StackError: Not every session came to its end.
    """
    return _run(stack, "drive_sessions.py", *options, plugin=plugin)


def drive_script(stack: Stack, script: str, *arguments: str) -> tuple[float, list[Made]]:
    """The same by another script, with the time from which on its spans are; seconds since the epoch.

    Raises:
        StackError: Not every session came to its end.
    """
    since = time.time() - 1
    return since, _run(stack, script, *arguments)


def _run(stack: Stack, script: str, *arguments: str, plugin: bool = True) -> list[Made]:
    environment = os.environ | client_environment(stack) | (client_telemetry(stack) if plugin else {})
    launcher = [stack.python.parent / "opentelemetry-instrument"] if plugin else []
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        command = [*map(str, (*launcher, stack.python, HERE / script, "--report", report)), *arguments]
        done = subprocess.run(command, env=environment, timeout=_TIMEOUT, check=False)
        if done.returncode:
            raise StackError(f"sessions of {stack.release} ended with {done.returncode}, see above")
        return [made_of(one) for one in json.loads(report.read_text())]


def drive_and_observe(stack: Stack, *options: str) -> tuple[list[Made], Observation]:
    """The same, and what is known of it once nothing more arrives."""
    since = time.time() - 1
    made = drive(stack, *options)
    return made, seen(stack, made, since)


def seen(stack: Stack, made: Sequence[Made], since: float) -> Observation:
    """What is known of these sessions: spans and records since then (seconds since the epoch), and the log files."""
    steps = [Step(request, request, "") for one in made for request in one.requests]
    return observe(stack.desk_url, steps, since, stack.directory / "log")


def restart_of(stack: Stack, component: str) -> str:
    """The command that kills a component, with all of its workers and no chance to finish, and starts it again."""
    pid_file = shlex.quote(str(stack.directory / "run" / f"{component}.pid"))
    resume = [sys.executable, "-m", "tests.realstack.stack", "resume", stack.release, "--dir", str(stack.directory)]
    # The stack's components must not take themselves for the client, in whose environment this runs, nor load its SDK.
    unset = "env -u PYTHONPATH -u OTEL_SERVICE_NAME -u OTEL_BACKENDAI_COMPONENT -u OTEL_BACKENDAI_PEERS"
    return (
        f"read pid _ <{pid_file}; kill -9 -$pid; cd {shlex.quote(str(ROOT))} && {unset} {shlex.join(resume)} >/dev/null"
    )
