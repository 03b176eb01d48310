# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The IDs of a record reach every log driver of the release that is installed, through its own relay."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
IDS = {"request_id", "otelTraceID", "otelSpanID"}


class Output:
    """What one run wrote: console lines, the file's and logstash's events, by message."""

    def __init__(self, console: str, file: str, events: list[bytes]) -> None:
        self.console = console
        self.file = {line["message"]: line for line in map(json.loads, file.splitlines())}
        self.events = {event["message"]: event for event in map(json.loads, events)}

    def line(self, message: str) -> str:
        """The console line with this message; fails when there is not exactly one."""
        plain = re.sub(r"\x1b\[[0-9;]*m", "", self.console)
        (found,) = [line for line in plain.splitlines() if re.search(rf"\] {message}( \[|$)", line)]
        return found


def run(tmp_path: Path, colored: bool = False, plugin: str = "on", /, **environment: str) -> Output:
    """Log by the release's own Logger in a process of its own, with all drivers on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as logstash:
        logstash.bind(("127.0.0.1", 0))
        logstash.setblocking(False)
        command = [sys.executable, "-m", "tests.releases.apps.relaying", str(tmp_path)]
        command += [str(logstash.getsockname()[1]), "colored" if colored else "plain", plugin]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        settings = {"OTEL_BACKENDAI_COMPONENT": "manager", "OTEL_TRACES_EXPORTER": "none", **environment}
        done = subprocess.run(
            command, cwd=ROOT, env={**clean, **settings}, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        events = []
        try:
            while True:
                events.append(logstash.recv(65536))
        except BlockingIOError:
            pass
    return Output(done.stderr, (tmp_path / "component.log").read_text(encoding="utf-8"), events)


def ids(line: dict[str, Any]) -> dict[str, Any]:
    """Those of our fields that a JSON line has."""
    return {name: value for name, value in line.items() if name in IDS}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Output:
    """A run with the plugin."""
    return run(tmp_path_factory.mktemp("relay"))


@pytest.mark.parametrize("colored", [False, True])
def test_console(colored: bool, tmp_path: Path) -> None:
    """Request ID, trace and span stand at the end of the message, before a stack trace; nothing outside of requests."""
    output = run(tmp_path, colored)
    assert output.line("inside 2").endswith("] inside 2 [request_id=req-1]")
    assert re.search(
        r" spanned \[request_id=req-1 trace_id=[0-9a-f]{32} span_id=[0-9a-f]{16}\]$", output.line("spanned")
    )
    assert re.search(r" failed \[request_id=req-1 trace_id=", output.line("failed"))
    assert "UnpicklableError" in output.console
    for message in ("outside 1", "after"):
        assert output.line(message).endswith(f"] {message}")


def test_json_file(output: Output) -> None:
    """The same as fields; a record made outside of requests has none of them."""
    assert ids(output.file["inside 2"]) == {"request_id": "req-1"}
    for message in ("spanned", "failed"):
        assert set(ids(output.file[message])) == IDS
        assert output.file[message]["request_id"] == "req-1"
    assert output.file["spanned"]["otelTraceID"] == output.file["failed"]["otelTraceID"]
    assert ids(output.file["outside 1"]) == ids(output.file["after"]) == {}


def test_logstash(output: Output) -> None:
    """Events of a request have the fields, beside those of Backend.AI."""
    assert ids(output.events["inside 2"]) == {"request_id": "req-1"}
    assert set(ids(output.events["spanned"])) == IDS
    assert output.events["spanned"]["logger"] == "ai.backend.test"
    assert ids(output.events["outside 1"]) == {}


@pytest.mark.releases(since="25.15")
def test_backendais_own_field(output: Output) -> None:
    """A null is made true, a hostile value is replaced, an acceptable one is kept; the log call raises nothing."""
    assert ids(output.file["null field"]) == {"request_id": "req-1"}
    assert ids(output.file["hostile field"]) == {"request_id": "req-1"}
    assert ids(output.file["own field"]) == {"request_id": "own"}
    assert output.line("null field").endswith("] null field [request_id=req-1]")


def test_console_text_can_be_switched_off(tmp_path: Path) -> None:
    """OTEL_BACKENDAI_LOG_TEXT=0: console lines as without the plugin; JSON keeps the fields."""
    output = run(tmp_path, OTEL_BACKENDAI_LOG_TEXT="0")
    assert output.line("inside 2").endswith("] inside 2")
    assert ids(output.file["inside 2"]) == {"request_id": "req-1"}


@pytest.mark.parametrize(
    ("plugin", "environment"), [("off", {}), ("on", {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "backendai_logs"})]
)
def test_without_the_hop(plugin: str, environment: dict[str, str], tmp_path: Path) -> None:
    """Nothing of ours in any driver."""
    output = run(tmp_path, False, plugin, **environment)
    assert "[request_id=" not in output.console
    assert ids(output.file["inside 2"]) == ids(output.events["inside 2"]) == {}
