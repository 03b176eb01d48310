# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Drives a stack that runs with a client without the plugin, and prints whether its tokens keep its traces together.

    python -m tests.realstack.token_traces 26.9.6 [--dir DIR]

Exits 1 if what came back with a token is not in the trace of the request that made the token, or if a span shows one.
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
from typing import Any

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_REQUEST_ID
from tests.realstack.matrix.reading import observe
from tests.realstack.stack.control import client_environment
from tests.realstack.stack.settings import HERE, Stack, stack_of
from tests.realstack.token_visits import EXPECTATIONS, that_show_tokens, visits_of

_TIMEOUT = 240


def main() -> None:
    """Read the command line, drive, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.realstack.token_traces")
    parser.add_argument("release")
    parser.add_argument("--dir", default="")
    arguments = parser.parse_args()
    stack = stack_of(arguments.release, arguments.dir)
    since = time.time()
    steps = drive(stack)
    spans = observe(stack.desk_url, [], since - 1, stack.directory / "log").spans
    journeys = list(dict.fromkeys(step["journey"] for step in steps if step["journey"]))
    faults = [fault for journey in journeys for fault in judge(stack.release, spans, journey, steps)]
    faults += [f"failed: {step['title']}" for step in steps if step["error"]]
    faults += shown_tokens(spans)
    for fault in faults:
        print(f"{stack.release}: {fault}")
    sys.exit(1 if faults or not journeys else 0)


def drive(stack: Stack) -> list[Mapping[str, Any]]:
    """Let the release's own client, without the plugin, do what ``plain.py`` says; its report."""
    # No launcher, and nothing in the environment that would switch something on.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        command = [str(stack.python), str(HERE / "plain.py"), "--report", str(report)]
        subprocess.run(command, env=environment | client_environment(stack), timeout=_TIMEOUT, check=False)
        return list(json.loads(report.read_text())) if report.exists() else []


def judge(release: str, spans: Sequence[Span], journey: str, steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Print what is known of one journey, and return what is wrong with it; its steps have to be among ``steps``."""
    own = [step for step in steps if step["journey"] == journey]
    found = visits_of(spans, EXPECTATIONS[journey], own[0]["began"], own[-1]["ended"])
    traces = {span.trace_id for span in (*found.visits, *([found.made] if found.made else []))}
    requests = {str(span.attributes.get(ATTRIBUTE_REQUEST_ID)) for span in found.visits}
    components = sorted({span.service for span in spans if found.made and span.trace_id == found.made.trace_id})
    print(
        f"{release} {journey}: {len(found.visits)} visits, {len(traces)} trace(s), {len(requests)} request ID(s), "
        f"{' '.join(components)}: {'good' if not found.problems else 'BAD'}"
    )
    below = {span.parent_span_id for span in found.visits}
    makers = [span for span in spans if span.span_id in below and span not in found.visits]
    for verb, span in [*(("made   ", span) for span in makers), *(("visited", span) for span in found.visits)]:
        worker = span.resource.get("process.pid", "")
        request = span.attributes.get(ATTRIBUTE_REQUEST_ID)
        print(f"  {verb} {span.service} {worker} {span.name} {span.trace_id} {request}")
    return list(found.problems)


def shown_tokens(spans: Sequence[Span]) -> list[str]:
    """Where tokens can be read; nothing when they cannot."""
    return [f"a token is on {span.service} {span.name} of {span.scope}" for span in that_show_tokens(spans)]


if __name__ == "__main__":
    main()
