# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""One session creation in a released Backend.AI, without the plugin and with it, as a picture for the README.

python -m tools.session_picture 26.9.6 docs/session.png [--dir DIR]

Both with Backend.AI's own ``[otel]`` section on, on one stack, whose components are started anew for the second. Of two
sessions the quicker one is shown. Exit status: 0 with the picture written, 1 when a session or a page is not what it
must be, 2 when something is missing.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_REQUEST_ID
from tests.realstack.matrix.observation import Step
from tests.realstack.matrix.reading import observe
from tests.realstack.sessions.coverage import covered
from tests.realstack.stack.control import (
    clear,
    client_environment,
    client_telemetry,
    components,
    relaunch,
    start,
    stop,
)
from tests.realstack.stack.settings import HERE, Stack, StackError, stack_of
from tools.browser_page import PageError, open_page
from tools.chromium import NoChromiumError
from tools.session_page import WIDTH, Panel, render

_KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
_FAILED = 2
_TIMEOUT = 240
_TRIES = 2
# Upstream's exporters send every five seconds.
_SETTLE = 8.0
_HEIGHT = 2400
_MARGIN = 8
# Backend.AI's own tracing, and where it sends to.
_OWN = {"REALSTACK_OTEL": "1", "REALSTACK_SINK": "1"}


class PictureError(Exception):
    """What keeps the picture from showing a session, as one sentence."""


def main() -> int:
    """Run both, take the picture, print its figures; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.session_picture")
    parser.add_argument("release", help="a version or a family: 26.9.6")
    parser.add_argument("output", type=Path, help="the PNG to write")
    parser.add_argument("--dir", default="", help="where the stack lives; by default in the user's cache")
    arguments = parser.parse_args()
    os.environ.update(_OWN)
    try:
        panels = _panels(stack_of(arguments.release, arguments.dir))
        with tempfile.TemporaryDirectory() as directory:
            page = Path(directory, "session.html")
            page.write_text(render(panels))
            arguments.output.write_bytes(asyncio.run(_picture(page.as_uri(), panels)))
    except (NoChromiumError, StackError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (PictureError, PageError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for panel in panels:
        print(f"{panel.title}: {panel.facts}")
    return 0


def _panels(stack: Stack) -> list[Panel]:
    clear(stack)
    try:
        start(stack)
        relaunch(stack, [])
        alone = _alone(stack)
        relaunch(stack, components(stack))
        return [alone, _with(stack)]
    finally:
        stop(stack)


def _alone(stack: Stack) -> Panel:
    since, made = _made(stack, [], {})
    time.sleep(_SETTLE)
    spans = [span for span in read_sink(stack.directory / "otlp.jsonl") if span.start_ns >= since]
    requests = [span for span in spans if span.kind == "server" and span.name.startswith("POST /session")]
    if not requests:
        raise PictureError(f"{stack.release} alone made no span of POST /session")
    first = min(requests, key=lambda span: span.start_ns)
    own = [span for span in spans if span.trace_id == first.trace_id]
    title = f"Backend.AI {stack.release} alone, with its own [otel] tracing on"
    return panel_of(title, own, first, int(made["running_at"] * 1e9))


def _with(stack: Stack) -> Panel:
    launcher = [str(stack.python.parent / "opentelemetry-instrument")]
    since, made = _made(stack, launcher, client_telemetry(stack))
    steps = [Step("created", made["created"], "")]
    spans = observe(stack.desk_url, steps, since / 1e9, stack.directory / "log").spans
    named = [span for span in spans if span.attributes.get(ATTRIBUTE_REQUEST_ID) == made["created"]]
    requests = [span for span in named if span.kind == "server"]
    if not requests:
        raise PictureError(f"{stack.release} with the plugin made no span of the request")
    first = min(requests, key=lambda span: span.start_ns)
    own = [span for span in spans if span.trace_id == first.trace_id]
    return panel_of("The same with otel-backendai", own, first, int(made["running_at"] * 1e9))


def panel_of(title: str, trace: Sequence[Span], request: Span, end: int) -> Panel:
    """The panel of a session creation, with its figures.

    Args:
        title: What was run.
        trace: The spans of the request's trace.
        request: Its SERVER span, whose beginning is that of the creation.
        end: When a client first saw the session run, nanoseconds since the epoch.
    """
    before = [span for span in trace if span.start_ns < end]
    rest = [span for span in before if span is not request]
    services = len({span.service for span in before})
    facts = (
        f"one trace of {len(before)} spans in {services} component{'s' if services != 1 else ''}; "
        f"they cover {covered(rest, request.start_ns, end):.0%} of the {(end - request.start_ns) / 1e9:.1f} s "
        "from POST /session until RUNNING (dashed)"
    )
    return Panel(title, facts, before, request.start_ns, end)


def _made(stack: Stack, launcher: Sequence[str], telemetry: Mapping[str, str]) -> tuple[int, Any]:
    """Make sessions, the first of which warms everything up; of the quickest of the others when, and what was seen."""
    environment = {**os.environ, **client_environment(stack), **telemetry}
    made = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "report.json")
        for _ in range(1 + _TRIES):
            since = time.time_ns()
            command = [*launcher, str(stack.python), str(HERE / "sessions.py"), "--report", str(path)]
            if subprocess.run(command, env=environment, timeout=_TIMEOUT, check=False).returncode:
                raise PictureError(f"a session was not made on {stack.release}")
            made += [(one["running_at"] - since / 1e9, since, one) for one in json.loads(path.read_text())]
    _, since, one = min(made[1:], key=lambda item: item[0])
    return since, one


def read_sink(path: Path) -> list[Span]:
    """The spans that ``otlp_sink.py`` wrote."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        Span(
            trace_id=row["trace"],
            span_id=row["span"],
            parent_span_id=row["parent"] or "",
            name=row["name"],
            kind=_KINDS.get(row["kind"], ""),
            start_ns=row["start"],
            end_ns=row["end"],
            service=row["service"],
            status="error" if row["status"].get("code") == _FAILED else "unset",
            attributes=row["attrs"],
        )
        for row in rows
        if row["signal"] == "span"
    ]


async def _picture(url: str, panels: Sequence[Panel]) -> bytes:
    async with open_page(WIDTH, _HEIGHT) as page:
        await page.open(url)
        await page.wait_for({panel.title for panel in panels})
        return await page.picture(_MARGIN)


if __name__ == "__main__":
    sys.exit(main())
