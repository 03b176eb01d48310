# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Makes sessions that do not get on, in real stacks, and shows what ``otel-backendai trace`` says of them.

    python -m tests.realstack.failing_sessions 26.9.6 23.9.10 [--case CASE ...] [--page FILE] [--dir DIR]

Stacks are started and stopped. The cases are those of ``failing_client.py``; the page gets what they show.
Exits 1 if a session was not told of as it must be, see ``failing_judging.py``.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from otel_backendai.cli.trace_reading import read_desk_span
from otel_backendai.desk.model import Span
from tests.realstack.failing_judging import Told, problems
from tests.realstack.failing_page import Shown, page
from tests.realstack.sessions.driving import restart_of
from tests.realstack.stack.control import clear, client_environment, client_telemetry, start, stop
from tests.realstack.stack.settings import HERE, Stack, StackError, stack_of

CASES = ("broken", "never", "timeout", "killed")
_TIMEOUT = 300
# Exporters send every second.
_SETTLE = 4.0
_TRACE = Path(sys.executable).parent / "otel-backendai"


def main() -> int:
    """Read the command line, drive, print, judge, write the page; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.realstack.failing_sessions")
    parser.add_argument("releases", nargs="+")
    parser.add_argument("--case", action="append", choices=CASES, help="only these [default: all]")
    parser.add_argument("--page", type=Path, help="file to write")
    parser.add_argument("--dir", default="", help="the stacks live below; by default in the user's cache")
    arguments = parser.parse_args()
    # The release's own spans, of database calls and the like, are none of what a person asks for here.
    os.environ["OTEL_BACKENDAI_UPSTREAM_SPANS"] = "0"
    shown: list[Shown] = []
    found: list[str] = []
    for release in arguments.releases:
        stack = stack_of(release, str(Path(arguments.dir, release)) if arguments.dir else "")
        clear(stack)
        try:
            start(stack)
            for case in arguments.case or CASES:
                one, told = show(stack, case)
                shown.append(one)
                print(f"== {release} {case}: {' > '.join(one.seen)}", *one.texts, sep="\n", flush=True)
                found += [f"{release} {case}: {problem}" for problem in problems(case, told)]
        except StackError as error:
            sys.exit(str(error))
        finally:
            stop(stack)
    if arguments.page:
        arguments.page.write_text(page(shown))
    print(*found or ["Every session was told of as it must be."], sep="\n")
    return 1 if found else 0


def show(stack: Stack, case: str) -> tuple[Shown, Told]:
    """Run one case, and ask what its trace says; of a session that is stuck meanwhile, too.

    Raises:
        StackError: The client came to no end.
    """
    with tempfile.TemporaryDirectory() as directory:
        report, meanwhile = Path(directory, "report.json"), Path(directory, "meanwhile")
        command = [
            *(stack.python.parent / "opentelemetry-instrument", stack.python),
            *(HERE / "failing_client.py", case, "--report", report, "--interlude"),
            interlude(stack, case, meanwhile),
        ]
        environment = {**os.environ, **client_environment(stack), **client_telemetry(stack)}
        done = subprocess.run([str(part) for part in command], env=environment, timeout=_TIMEOUT, check=False)
        if done.returncode:
            raise StackError(f"{stack.release} {case}: the client failed")
        made: Mapping[str, Any] = json.loads(report.read_text())
        time.sleep(_SETTLE)
        waiting = meanwhile.read_text() if meanwhile.exists() else ""
    created, destroyed = made["created"], made["destroyed"]
    text = trace(stack, created)
    texts = [*([waiting] if waiting else []), text, *([trace(stack, destroyed)] if destroyed else [])]
    told = Told(spans_of(stack, created), text, waiting, is_asked=bool(destroyed))
    return Shown(stack.release, case, [status for status, _ in made["seen"]], texts), told


def interlude(stack: Stack, case: str, output: Path) -> str:
    """What happens to the session while it waits or is made, as a shell command; "" for nothing."""
    if case in ("broken", "never"):
        asked = shlex.join(["env", "-u", "OTEL_SERVICE_NAME", str(_TRACE), "trace", "--endpoint", stack.desk_url])
        return f'sleep {_SETTLE:.0f}; {asked} "$REQUEST_ID" >{shlex.quote(str(output))}'
    if case == "killed":
        # Not by a status: releases differ in when they say that a kernel is being made.
        log = shlex.quote(str(stack.directory / "log" / "agent.log"))
        at_work = f'for _ in $(seq 300); do grep -q "create_kernel(.*$REQUEST_ID" {log} && break; sleep 0.2; done'
        return f"{at_work}; sleep {_SETTLE:.0f}; {restart_of(stack, 'agent')}"
    return ""


def spans_of(stack: Stack, request: str) -> list[list[Span]]:
    """The spans of a request by traces, as ``otel-backendai trace`` has them."""
    answer = json.loads(trace(stack, request, "--json"))
    return [[read_desk_span(span, {}) for span in one["spans"]] for one in answer["traces"]]


def trace(stack: Stack, request: str, *more: str) -> str:
    """What ``otel-backendai trace`` prints of a request."""
    command = [str(_TRACE), "trace", request, "--endpoint", stack.desk_url, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False).stdout


if __name__ == "__main__":
    sys.exit(main())
