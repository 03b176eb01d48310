# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Leaves work behind on a stack that runs and prints whether it is in the trace of the request that asked for it.

    python -m tests.realstack.background_traces 26.9.6 [--dir DIR] [--service]

``--service``: a model service, too, whose replica comes to its session within two minutes, and its end.

Exits 1 if a request's work is in more than one trace, or a part of it is missing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_BGTASK_ID, ATTRIBUTE_BGTASK_STATUS, ATTRIBUTE_REQUEST_ID
from tests.realstack.matrix.observation import Step
from tests.realstack.matrix.reading import observe
from tests.realstack.stack.control import client_environment, client_telemetry
from tests.realstack.stack.settings import HERE, Stack, stack_of

_TIMEOUT = 480
# What a model service is driven for.
SERVICE = ("service", "service end")
_MANAGER = "backend.ai-manager"
_STORAGE = "backend.ai-storage"
_AGENT = "backend.ai-agent"
_COORDINATOR = "backend.ai-proxy-coordinator"
# Releases whose storage-proxy clones and deletes folders as background tasks, and tells the manager by an event.
_STORAGE_TASKS = (25, 15)
# Releases whose manager tells the app-proxy of many endpoints in one call.
_BULK_CALLS = (26, 4)


def main() -> None:
    """Read the command line, drive, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.realstack.background_traces")
    parser.add_argument("release")
    parser.add_argument("--dir", default="")
    parser.add_argument("--service", action="store_true", help="make a model service, too")
    arguments = parser.parse_args()
    stack = stack_of(arguments.release, arguments.dir)
    since = time.time()
    steps = drive(stack, with_service=arguments.service)
    spans = observe(stack.desk_url, steps, since - 1, stack.directory / "log").spans
    faults = [f"{step.title}: {fault}" for step in steps for fault in judge_step(stack.release, step, spans)]
    for fault in faults:
        print(f"{stack.release} {fault}")
    wanted = {title for title in _expected(stack.release) if arguments.service or title not in SERVICE}
    sys.exit(1 if faults or wanted - {step.title for step in steps} else 0)


def drive(stack: Stack, *, with_service: bool) -> list[Step]:
    """Make the requests; one step each, with the error of its answer, and none for what the client did not come to."""
    environment = os.environ | client_environment(stack) | client_telemetry(stack)
    launcher = stack.python.parent / "opentelemetry-instrument"
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        command = [*map(str, (launcher, stack.python, HERE / "drive_backgrounds.py", "--report", report))]
        command += ["--service"] * with_service
        subprocess.run(command, env=environment, timeout=_TIMEOUT, check=False)
        return [Step(trace_id="", **one) for one in json.loads(report.read_text())] if report.exists() else []


def judge_step(release: str, step: Step, spans: Sequence[Span]) -> list[str]:
    """As :func:`judge`; a request that was refused leaves nothing behind, and its refusal is the fault."""
    return [step.error] if step.error else judge(release, step.title, step.request_id, spans)


def judge(release: str, title: str, request: str, spans: Sequence[Span]) -> list[str]:
    """Print what is known of one request, and return what is wrong with it."""
    own = sorted((span for span in spans if span.attributes.get(ATTRIBUTE_REQUEST_ID) == request), key=_start)
    traces = {span.trace_id for span in own}
    seconds = (max(span.end_ns for span in own) - own[0].start_ns) / 1e9 if own else 0.0
    tasks = [(span.service, span.attributes.get(ATTRIBUTE_BGTASK_STATUS)) for span in own if _is_task(span)]
    services = sorted({span.service for span in own})
    print(
        f"{release} {title}: {seconds:.2f} s, {len(traces)} trace(s), {len(own)} spans, {' '.join(services)}, "
        f"tasks {tasks}"
    )
    faults = [] if len(traces) == 1 else [f"{len(traces)} traces"]
    present = {(span.service, span.name) for span in own if not _is_task(span)} | {(name, "task") for name, _ in tasks}
    faults += [f"no {name} of {service}" for service, name in _expected(release)[title] - present]
    foreign = {span.attributes.get(ATTRIBUTE_REQUEST_ID) for span in spans if span.trace_id in traces} - {request}
    return faults + [f"spans of {other} in its trace" for other in foreign]


def _start(span: Span) -> int:
    return span.start_ns


def _is_task(span: Span) -> bool:
    return ATTRIBUTE_BGTASK_ID in span.attributes and span.kind == "internal"


def _expected(release: str) -> Mapping[str, set[tuple[str, str]]]:
    """What belongs to each request, by service and name of a span; ``task`` for that of a background task."""
    family = tuple(map(int, release.split(".")[:2]))
    always = {
        "rescan": {(_MANAGER, "task"), (_MANAGER, "publish bgtask_failed")},
        "service": {(_MANAGER, "session PENDING"), (_AGENT, "create_kernels")},
        # The replica ends, and the app-proxy is told.
        "service end": {
            (_MANAGER, "session TERMINATING"),
            (_AGENT, "destroy_kernel"),
            (_MANAGER, "unregister endpoint"),
            (_MANAGER, "DELETE"),
        },
    }
    if family >= _STORAGE_TASKS:
        ends = {
            title: {
                (_STORAGE, "task"),
                (_STORAGE, "publish bgtask_done"),
                (_STORAGE, f"publish vfolder_{event}_success"),
                (_MANAGER, f"process vfolder_{event}_success"),
            }
            for title, event in (("clone", "clone"), ("delete", "deletion"))
        }
        path = "/v2/endpoints/bulk" if family >= _BULK_CALLS else "/v2/endpoints/{endpoint_id}"
        made = {*always["service"], (_MANAGER, "make replica"), (_COORDINATOR, f"POST {path}")}
        ended = {*always["service end"], (_COORDINATOR, f"DELETE {path}")}
        return {**always, **ends, "service": made, "service end": ended}
    cloned = {(_MANAGER, "task"), (_MANAGER, "publish bgtask_done"), (_STORAGE, "POST /folder/clone")}
    # "POST": the replica's model is ready, which is when the endpoint is registered.
    made = {*always["service"], (_MANAGER, "process route_created"), (_MANAGER, "POST")}
    return {**always, "clone": cloned, "delete": {(_STORAGE, "POST /folder/delete")}, "service": made}


if __name__ == "__main__":
    main()
