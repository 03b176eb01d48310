# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The demo as a process of its own, and what it says that it sent."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.backends.servers import JSON, Jaeger, eventually

_DEMO = (sys.executable, "-c", "from otel_backendai.cli import main; main()", "demo", "--once", "--json")
_DEMO_TIMEOUT = 180


def run_demo(directory: Path, request_id: str, endpoint: str) -> JSON:
    """The demo's own account of one run that sends a copy of everything to ``endpoint``."""
    ended = subprocess.run(
        [*_DEMO, "--request-id", request_id, "--endpoint", endpoint],
        capture_output=True,
        text=True,
        timeout=_DEMO_TIMEOUT,
        check=False,
        cwd=directory,
        env={**os.environ, "TMPDIR": str(directory)},
    )
    assert ended.returncode == 0, ended.stderr
    document: JSON = json.loads(ended.stdout)
    return document


def told_traces(document: JSON, request_id: str) -> dict[str, JSON]:
    """The traces of the request in the demo's account, by ID."""
    return {
        trace["trace_id"]: trace
        for flow in document["flows"]
        if flow["request_id"] == request_id
        for trace in flow["traces"]
    }


def found_traces(jaeger: Jaeger, request_id: str, told: Mapping[str, JSON]) -> dict[str, JSON]:
    """The traces that Jaeger has of the request, by ID, once it has every span that was told."""

    def find() -> dict[str, JSON]:
        found = jaeger.find(request_id)
        complete = all(len(found.get(key, {"spans": []})["spans"]) >= len(told[key]["spans"]) for key in told)
        return found if complete else {}

    return eventually(find, f"the traces {list(told)}")
