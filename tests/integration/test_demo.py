# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``otel-backendai demo`` as a user runs it: a process of its own, real components, nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import free_port
from tests.integration.otlp_receiver import ReceivedSpan, otlp_receiver

COMMAND = (sys.executable, "-c", "from otel_backendai.cli import main; main()", "demo")
TIMEOUT = 120
ID = "backendai.request.id"
ORIGIN = ("backendai.request.origin.component", "backendai.request.origin.detail")
SESSION_COMPONENTS = {"client", "manager", "legacy-agent", "agent", "app-proxy", "wsproxy"}

JSON = dict[str, Any]


class Demo:
    """Starts the demo with a temporary directory of its own, by which its processes are found."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, path: str | None = None) -> "subprocess.Popen[str]":
        """Start it in the background; ``path`` goes before PATH."""
        environment = {
            **os.environ,
            "TMPDIR": str(self.directory),
            "PATH": os.pathsep.join(filter(None, (path, os.environ["PATH"]))),
            # What a user's shell may hold must not reach the cluster.
            "OTEL_SDK_DISABLED": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "OTEL_SERVICE_NAME": "somebody-else",
            "EXAMPLE_MANAGER_PORT": "1",
            "http_proxy": "http://127.0.0.1:9",
        }
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
            cwd=self.directory,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str, path: str | None = None) -> tuple[int, str, str]:
        """Run it to its end: status, standard output, standard error."""
        process = self.start(*arguments, path=path)
        output, errors = process.communicate(timeout=TIMEOUT)
        return process.returncode, output, errors

    def processes(self) -> list[str]:
        """The command lines of its processes that still run; all of them work below its temporary directory."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(self.directory):
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found

    def assert_nothing_left(self) -> None:
        """No process and no file."""
        if sys.platform == "linux":
            assert self.processes() == []
        assert list(self.directory.iterdir()) == []


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """The command, ended in any case."""
    started = Demo(tmp_path)
    yield started
    for process in started.started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=TIMEOUT)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> JSON:
    """What ``--once --json`` prints."""
    demo = Demo(tmp_path_factory.mktemp("demo"))
    status, output, errors = demo.run("--once", "--json")
    assert status == 0, errors
    assert "manager is ready" in errors
    demo.assert_nothing_left()
    parsed: JSON = json.loads(output)
    return parsed


def _flow(document: JSON, name: str) -> JSON:
    found: JSON
    (found,) = [flow for flow in document["flows"] if flow["name"] == name]
    return found


def _paths(trace: JSON) -> set[tuple[str, ...]]:
    """For each span of a trace the way from the root to it, as ``service KIND name``."""
    spans = {span["span_id"]: span for span in trace["spans"]}

    def path(span: JSON) -> tuple[str, ...]:
        own = f"{span['service']} {span['kind'].upper()} {span['name']}"
        return (*(path(spans[span["parent_span_id"]]) if span["parent_span_id"] else ()), own)

    return {path(span) for span in spans.values()}


def test_session_creation_is_one_trace(document: JSON) -> None:
    """One trace, every span with the right parent, from the client to the event handler and behind it."""
    (trace,) = _flow(document, "session")["traces"]
    create = ("client CLIENT POST", "manager SERVER POST /sessions")
    kernel = (*create, "manager CLIENT create_kernel", "agent SERVER create_kernel")
    started = (*kernel, "agent PRODUCER publish kernel_started", "manager CONSUMER process kernel_started")
    circuit = (*started, "manager CLIENT POST", "app-proxy SERVER POST /v2/circuits")
    paths = _paths(trace)
    assert paths >= {
        create,
        (*create, "manager CLIENT prepare_image", "legacy-agent SERVER prepare_image"),
        kernel,
        started,
        circuit,
        (*circuit, "app-proxy CLIENT GET", "wsproxy SERVER GET /v2/sessions/{session_id}"),
        (*started, "manager PRODUCER publish session_started", "manager CONSUMER process session_started"),
    }
    assert {path[0] for path in paths} == {"client CLIENT POST"}
    assert {span["service"] for span in trace["spans"]} == SESSION_COMPONENTS


def test_session_creation_names_session_and_kernel(document: JSON) -> None:
    """Both spans of the agent's RPC say which; the IDs are those of the log lines."""
    flow = _flow(document, "session")
    calls = [span for span in flow["traces"][0]["spans"] if span["name"] == "create_kernel"]
    assert sorted(span["kind"] for span in calls) == ["client", "server"]
    ids = {(span["attributes"]["backendai.session.id"], span["attributes"]["backendai.kernel.id"]) for span in calls}
    ((session_id, kernel_id),) = ids
    bodies = [line["body"] for line in flow["logs"]]
    assert f"creating session {session_id}" in bodies
    assert f"kernel {kernel_id} runs" in bodies


def test_upload_is_two_traces_under_one_id(document: JSON) -> None:
    """The client's two calls are a trace each, and the storage-proxy is in both."""
    first, second = _flow(document, "upload")["traces"]
    token = ("client CLIENT POST", "manager SERVER POST /folders/upload")
    assert _paths(first) >= {token, (*token, "manager CLIENT POST", "storage-proxy SERVER POST /folder/upload")}
    assert _paths(second) >= {("client CLIENT PUT", "storage-proxy SERVER PUT /upload")}


def test_background_work_has_an_id_of_its_own(document: JSON) -> None:
    """A timer's run is one trace whose root says who minted its ID; no client's request has that ID."""
    (trace,) = _flow(document, "background")["traces"]
    run = ("manager INTERNAL BackgroundWork.process_pending_operations",)
    synced = (
        *run,
        "manager PRODUCER publish kernel_registry_synced",
        "manager CONSUMER process kernel_registry_synced",
    )
    calls = (*run, "manager CLIENT sync_kernel_registry", "agent SERVER sync_kernel_registry")
    assert _paths(trace) >= {run, synced, calls}
    (root,) = [span for span in trace["spans"] if not span["parent_span_id"]]
    assert tuple(root["attributes"][name] for name in ORIGIN) == ("manager", "background")
    assert len({flow["request_id"] for flow in document["flows"]}) == 3


def test_every_span_and_log_line_carries_the_id(document: JSON) -> None:
    """Each span of a flow has the flow's ID and a service name, and each component a log line with the ID."""
    for flow in document["flows"]:
        spans = [span for trace in flow["traces"] for span in trace["spans"]]
        assert {span["attributes"].get(ID) for span in spans} == {flow["request_id"]}
        assert all(span["resource"]["service.name"] == span["service"] for span in spans)
        assert {line["attributes"].get(ID) for line in flow["logs"]} == {flow["request_id"]}
        assert {line["service"] for line in flow["logs"]} == {span["service"] for span in spans}
        inside = {(span["trace_id"], span["span_id"], span["service"]) for span in spans}
        # Only the client logs outside of a span: before it sends anything.
        outside = {line["service"] for line in flow["logs"] if not line["span_id"]}
        assert outside == {line["service"] for line in flow["logs"]} & {"client"}
        assert all(
            (line["trace_id"], line["span_id"], line["service"]) in inside for line in flow["logs"] if line["span_id"]
        )


def test_verdict_of_whole_flows(document: JSON) -> None:
    """The object says of each flow and hop that it is well, and where its page was."""
    assert document["ok"] is True
    assert document["error"] is None
    for flow in document["flows"]:
        assert flow["ok"] is True
        assert flow["problems"] == []
        assert flow["page"] == f"{document['desk']}/request/{flow['request_id']}"
        assert all(hop["ok"] and hop["span_ids"] for hop in flow["hops"])


def test_given_id_and_another_receiver(demo: Demo) -> None:
    """Everything reaches ``--endpoint``: both request flows under ``--request-id``, background work under its own."""
    with otlp_receiver() as receiver:
        status, output, errors = demo.run("--once", "--request-id", "req-123", "--endpoint", receiver.url)
    assert status == 0, errors
    demo.assert_nothing_left()
    traces: dict[str, list[ReceivedSpan]] = {}
    for span in receiver.spans:
        assert span.resource.get("service.name") in {*SESSION_COMPONENTS, "storage-proxy"}
        traces.setdefault(span.trace_id, []).append(span)
    ids = {trace_id: {span.attributes.get(ID) for span in spans} for trace_id, spans in traces.items()}
    asked_for = [trace_id for trace_id, found in ids.items() if found == {"req-123"}]
    services = sorted(sorted({span.resource["service.name"] for span in traces[trace_id]}) for trace_id in asked_for)
    assert services == [
        sorted(SESSION_COMPONENTS),
        ["client", "manager", "storage-proxy"],
        ["client", "storage-proxy"],
    ]
    own = [found for trace_id, found in ids.items() if trace_id not in asked_for]
    assert own
    assert all(len(found) == 1 and None not in found and "req-123" not in found for found in own)
    assert len(set().union(*own)) == len(own)
    assert {line.resource["service.name"] for line in receiver.logs} == {*SESSION_COMPONENTS, "storage-proxy"}
    _assert_readable(output)


def _assert_readable(output: str) -> None:
    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) <= 100
    for text in ("Session creation", "Vfolder upload", "Background work", "/request/req-123", "creating session"):
        assert text in output
    assert output.count("OK: ") == 3


def test_stays_until_sigterm_and_leaves_nothing(demo: Demo) -> None:
    """Without ``--once`` the desk shows the request, also to ``trace`` by session, until a signal ends everything."""
    port = free_port()
    process = demo.start("--request-id", "a/b", "--port", str(port), "--json")
    assert process.stdout is not None
    document = json.loads(process.stdout.readline())
    assert document["flows"][0]["page"] == f"http://127.0.0.1:{port}/request/a%2Fb"
    with urllib.request.urlopen(document["flows"][0]["page"], timeout=10) as page:
        assert page.status == 200
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/requests/a%2Fb", timeout=10) as answer:
        assert json.load(answer)["request_id"] == "a/b"
    (session,) = document["flows"][0]["traces"]
    (created,) = [span for span in session["spans"] if (span["name"], span["kind"]) == ("create_kernel", "server")]
    for found_as in ("session", "kernel"):
        command = (*COMMAND[:-1], "trace", created["attributes"][f"backendai.{found_as}.id"], "--json")
        asked = subprocess.run(
            [*command, "--endpoint", document["desk"]], capture_output=True, text=True, timeout=TIMEOUT, check=True
        )
        found = json.loads(asked.stdout)
        assert found["found_as"] == found_as
        assert [trace["trace_id"] for trace in found["traces"]] == [session["trace_id"]]
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, output) == (0, ""), errors
    demo.assert_nothing_left()


def test_interrupted_while_starting(demo: Demo) -> None:
    """Ctrl-C, and a second one from somebody impatient, leave nothing; the status is the signal's."""
    process = demo.start("--once")
    _read_until(process, "Redis is ready")
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, output) == (128 + signal.SIGINT, ""), errors
    assert "Traceback" not in errors
    demo.assert_nothing_left()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_killed(demo: Demo) -> None:
    """Even a demo that is killed, and so can stop nothing itself, leaves no process."""
    process = demo.start()
    _read_until(process, "agent is ready")
    process.kill()
    process.communicate(timeout=TIMEOUT)
    deadline = time.monotonic() + 30
    while demo.processes() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert demo.processes() == []


def test_component_that_fails_is_named(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A component that does not start is named with the tail of its log, in JSON too."""
    path = _fake_redis(tmp_path_factory, "echo 'out of luck' >&2; exit 3")
    status, output, errors = demo.run("--once", "--json", path=path)
    assert status == 1
    assert json.loads(output)["error"] == "Redis ended with status 3; its log ends with:\n  out of luck"
    assert "Error: Redis ended with status 3; its log ends with:\n  out of luck\n" in errors
    demo.assert_nothing_left()


def test_port_that_is_taken_meanwhile(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> None:
    """When somebody else takes a port between its choice and its use, the cluster is started with others."""
    embedded = f'exec "{sys.executable}" -m backendai_example.redis_server --port "$2"'
    path = _fake_redis(
        tmp_path_factory,
        f'[ -e "$0.tried" ] && {embedded}\ntouch "$0.tried"; echo "bind: Address already in use" >&2; exit 1',
    )
    process = demo.start("--once", path=path)
    lines = _read_until(process, "Redis is ready")
    assert "a port was taken by somebody else: starting again with other ports\n" in lines
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + signal.SIGTERM
    demo.assert_nothing_left()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--request-id", "two words"),
        ("--request-id", ""),
        ("--request-id", "x" * 129),
        ("--request-id", "line\nbreak"),
        ("--endpoint", "ftp://127.0.0.1"),
        ("--endpoint", "http:///v1/traces"),
        ("--endpoint", "http://127.0.0.1:99999"),
        ("--port", "65536"),
        ("--port", "-1"),
    ],
)
def test_bad_arguments(demo: Demo, arguments: tuple[str, str]) -> None:
    """What cannot be is refused in one sentence with status 2, before anything starts; hostile text is not repeated."""
    status, output, errors = demo.run("--once", *arguments)
    assert (status, output) == (2, "")
    assert errors.startswith(f"Error: {arguments[0]} must be ")
    assert errors.count("\n") == 1
    assert not arguments[1] or arguments[1] not in errors
    demo.assert_nothing_left()


def test_receiver_that_is_not_there(demo: Demo) -> None:
    """A receiver that cannot be reached is told at once, without the password of its URL."""
    port = free_port()
    status, output, errors = demo.run("--once", "--endpoint", f"http://user:secret@127.0.0.1:{port}")
    assert (status, output) == (1, "")
    assert errors == f"Error: http://127.0.0.1:{port} cannot be reached: Connection refused\n"
    demo.assert_nothing_left()


def test_missing_packages(demo: Demo) -> None:
    """Without the extra the command names it."""
    program = (
        "import sys; sys.modules['rich'] = None; sys.argv = ['otel-backendai', 'demo']\n"
        "from otel_backendai.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert result.returncode == 2
    assert (
        result.stderr == "Error: packages of the demo are missing; install them: pip install 'otel-backendai[demo]'\n"
    )


def _read_until(process: "subprocess.Popen[str]", line: str) -> list[str]:
    assert process.stderr is not None
    lines = []
    for read in process.stderr:
        lines.append(read)
        if line in read:
            return lines
    raise AssertionError("".join(lines))


def _fake_redis(tmp_path_factory: pytest.TempPathFactory, script: str) -> str:
    """A directory with a ``redis-server`` that runs ``script``."""
    directory = tmp_path_factory.mktemp("bin")
    server = directory / "redis-server"
    server.write_text(f"#!/bin/sh\n{script}\n")
    server.chmod(0o755)
    return str(directory)
