# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The demo's result as one JSON object: spans and log lines with the fields of the desk's model."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from otel_backendai.cli.flows import FlowRun
from otel_backendai.cli.hop_check import HopResult
from otel_backendai.desk.attribute_text import attribute_text
from otel_backendai.names import REQUEST_ID


def demo_json(runs: Sequence[FlowRun], pages: Sequence[str], *, desk: str, endpoint: str | None, error: str) -> str:
    """The text of the object.

    Args:
        runs: The flows that were run.
        pages: The address of each one's page.
        desk: The desk's address.
        endpoint: The receiver that got a copy.
        error: Why the demo failed for another reason than a hop; "" when it did not.
    """
    flows = [_flow(run, page) for run, page in zip(runs, pages, strict=True)]
    result = {
        "ok": not error and all(run.kept for run in runs),
        "error": error or None,
        "desk": desk,
        "endpoint": endpoint,
        "flows": flows,
    }
    return json.dumps(result, default=attribute_text)


def _flow(run: FlowRun, page: str) -> dict[str, Any]:
    return {
        "name": run.name,
        "title": run.flow.title,
        REQUEST_ID: run.request_id,
        "ok": run.kept,
        "problems": run.result.problems,
        "page": page,
        "hops": [_hop(result) for result in run.result.hops],
        "traces": [{"trace_id": trace[0].trace_id, "spans": [asdict(span) for span in trace]} for trace in run.traces],
        "logs": [asdict(line) for line in run.logs],
    }


def _hop(result: HopResult) -> dict[str, Any]:
    return {
        "parent": result.hop.parent,
        "child": result.hop.child,
        "kind": result.hop.kind,
        "ok": not result.problem,
        "problem": result.problem or None,
        "span_ids": [span.span_id for span in result.spans],
    }
