# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Makes sessions on a stack that runs and prints how far their traces explain them.

    python -m tests.realstack.session_traces 26.9.6 [--dir DIR] [--count N] [--restart-manager]

Exits 1 if a session's creation or its end is not one trace, or a span about it is in another request's.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from otel_backendai.desk.model import Span
from otel_backendai.names import (
    ATTRIBUTE_REQUEST_ID,
    ATTRIBUTE_SESSION_ID,
    ATTRIBUTE_SESSION_NEXT_STATUS,
)
from tests.realstack.matrix.observation import Step
from tests.realstack.matrix.reading import observe
from tests.realstack.session_coverage import coverage, strangers
from tests.realstack.stack.control import client_environment, client_telemetry
from tests.realstack.stack.settings import HERE, ROOT, Stack, stack_of

_TIMEOUT = 240


def main() -> None:
    """Read the command line, drive, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.realstack.session_traces")
    parser.add_argument("release")
    parser.add_argument("--dir", default="")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--restart-manager", action="store_true", help="once the session was created")
    arguments = parser.parse_args()
    stack = stack_of(arguments.release, arguments.dir)
    since = time.time()
    made = drive(stack, arguments.count, restart_of(stack) if arguments.restart_manager else "")
    steps = [Step(key, one[key], "") for one in made for key in ("created", "destroyed")]
    spans = observe(stack.desk_url, steps, since - 1, stack.directory / "log").spans
    verdicts = [verdict(stack.release, spans, one) for one in made]
    sys.exit(0 if verdicts and all(verdicts) else 1)


def restart_of(stack: Stack, component: str = "manager") -> str:
    """The command that kills a component, with all of its workers and no chance to finish, and starts it again."""
    pid_file = shlex.quote(str(stack.directory / "run" / f"{component}.pid"))
    up = [sys.executable, "-m", "tests.realstack.stack", "up", stack.release, "--dir", str(stack.directory)]
    # The stack's components must not take themselves for the client, in whose environment this runs.
    unset = "env -u OTEL_SERVICE_NAME -u OTEL_BACKENDAI_COMPONENT -u OTEL_BACKENDAI_PEERS"
    return f"read pid _ <{pid_file}; kill -9 -$pid; cd {shlex.quote(str(ROOT))} && {unset} {shlex.join(up)} >/dev/null"


def drive(stack: Stack, count: int, interlude: str = "") -> list[Mapping[str, Any]]:
    """Make ``count`` sessions at once and end them; what ``sessions.py`` reports of those that came so far.

    Args:
        stack: A stack that runs.
        count: How many.
        interlude: A shell command, run after each creation.
    """
    environment = os.environ | client_environment(stack) | client_telemetry(stack)
    launcher = stack.python.parent / "opentelemetry-instrument"
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        command = [*map(str, (launcher, stack.python, HERE / "sessions.py", "--report", report, "--count", count))]
        command += ["--interlude", interlude]
        subprocess.run(command, env=environment, timeout=_TIMEOUT, check=False)
        return list(json.loads(report.read_text())) if report.exists() else []


def verdict(release: str, spans: Sequence[Span], one: Mapping[str, Any]) -> bool:
    """Print what the traces of one session's requests show; whether each is one, with nothing of another's."""
    good = True
    for key, status in (("created", "RUNNING"), ("destroyed", "TERMINATED")):
        figures = coverage(spans, one[key], _reached(spans, one, status))
        if figures is None:
            print(f"{release} {one['id']} {key}: no trace")
            good = False
            continue
        good = good and figures.traces == 1
        print(
            f"{release} {one['id']} {key}: {figures.seconds:.2f} s, {figures.traces} trace(s), {figures.spans} spans, "
            f"covered {figures.share:.1%}, without statuses {figures.without_statuses:.1%}, "
            f"{' '.join(figures.services)}, {' > '.join(figures.statuses)}"
        )
    for span in strangers(spans, one["id"], [one["created"], one["destroyed"]]):
        request = span.attributes.get(ATTRIBUTE_REQUEST_ID)
        print(f"  under another request ID: {span.service} {span.kind} {span.name} {request}")
    return good


def _reached(spans: Sequence[Span], one: Mapping[str, Any], status: str) -> int:
    """When the session got to ``status``: by its status spans, else by the poll that saw it first."""
    ends = [
        span.end_ns
        for span in spans
        if span.attributes.get(ATTRIBUTE_SESSION_ID) == one["id"]
        and span.attributes.get(ATTRIBUTE_SESSION_NEXT_STATUS) == status
    ]
    return min(ends, default=int(one[f"{status.lower()}_at"] * 1e9))


if __name__ == "__main__":
    main()
