# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the desk of a stack received, and what the components wrote into their log files."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import urlopen

from otel_backendai.cli.trace_reading import read_desk_log, read_desk_span
from otel_backendai.desk.model import LogLine, Span
from tests.realstack.matrix.observation import Observation, Step, component_of, request_id_of

_TIMEOUT = 10.0
_SECOND = 1e9  # in nanoseconds
_LIMIT = 1500  # traces per service, more than a minute of a noisy one
# Exporters send every second; nothing new for this long means that all is there.
_QUIET = 3.0
_SETTLE_TIMEOUT = 30.0


def observe(
    desk_url: str, steps: Sequence[Step], since: float, log_directory: Path, until: float = math.inf
) -> Observation:
    """Everything that is known of a run, once nothing more arrives for its steps.

    Args:
        desk_url: Base URL of the desk.
        steps: What the client did.
        since: Seconds since the epoch; what began before is left out.
        log_directory: Where the log files are.
        until: Seconds since the epoch; what ended after it is left out.
    """
    _settle(lambda: [len(_traces_of(desk_url, step.request_id)) for step in steps])
    spans: dict[tuple[str, str], Span] = {}
    logs: list[LogLine] = []
    for trace_id in _trace_ids(desk_url, since):
        view = _get(f"{desk_url}/api/trace-view/{trace_id}")
        for item in view["traces"]:
            spans |= {(span["trace_id"], span["span_id"]): read_desk_span(span, {}) for span in item["spans"]}
        logs += [read_desk_log(line, {}) for line in view["logs"]]
    return Observation(
        steps,
        [span for span in spans.values() if span.end_ns <= until * _SECOND],
        [record for record in logs if record.time_ns <= until * _SECOND],
        log_lines(log_directory),
        json_lines(log_directory / "json"),
    )


def serving(desk_url: str, request_id: str) -> set[str]:
    """The components with a SERVER span under a request ID."""
    spans = [read_desk_span(span, {}) for span in _traces_of(desk_url, request_id)]
    return {component_of(span) for span in spans if span.kind == "server" and request_id_of(span) == request_id}


def log_lines(log_directory: Path) -> dict[str, list[str]]:
    """The lines of each component's log file, of its last start."""
    return {path.stem: path.read_text(errors="replace").splitlines() for path in log_directory.glob("*.log")}


def json_lines(directory: Path) -> dict[str, list[Mapping[str, object]]]:
    """The lines of each component's JSON log file, of its last start; an empty one for a line that is no object."""
    return {
        path.stem: [_object(line) for line in path.read_text(errors="replace").splitlines()]
        for path in directory.glob("*.json")
    }


def _object(line: str) -> Mapping[str, object]:
    try:
        content = json.loads(line)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _trace_ids(desk_url: str, since: float) -> list[str]:
    found: dict[str, None] = {}
    for service in _get(f"{desk_url}/api/services")["data"]:
        query = urlencode({"service": service, "start": int(since * 1e6), "limit": _LIMIT})
        found |= {trace["traceID"]: None for trace in _get(f"{desk_url}/api/traces?{query}")["data"]}
    return list(found)


def _traces_of(desk_url: str, request_id: str) -> list[Any]:
    try:
        traces = _get(f"{desk_url}/api/requests/{quote(request_id, safe='')}")["traces"]
    except HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return []
        raise
    return [span for item in traces for span in item["spans"]]


def _settle(count: Callable[[], object]) -> None:
    deadline = time.monotonic() + _SETTLE_TIMEOUT
    before = None
    while (now := count()) != before and time.monotonic() < deadline:
        before = now
        time.sleep(_QUIET)


def _get(url: str) -> Any:
    with urlopen(url, timeout=_TIMEOUT) as response:
        return json.load(response)
