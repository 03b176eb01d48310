# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The judgement behind `make test-sessions`: what sessions have to show, and what turns a case red."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from otel_backendai.desk.model import AttributeValue, Span
from otel_backendai.names import (
    ATTRIBUTE_KERNEL_ID,
    ATTRIBUTE_REQUEST_ID,
    ATTRIBUTE_SESSION_ID,
    ATTRIBUTE_SESSION_NEXT_STATUS,
    SESSION_CHANNEL,
    SESSION_KEY_PREFIX,
    TOKEN_CHANNEL,
    TOKEN_KEY_PREFIX,
)
from tests.realstack.matrix.observation import Observation
from tests.realstack.sessions.alone import read_sink, share_alone
from tests.realstack.sessions.idle import (
    by_component,
    dead_problems,
    ended_between,
    noise_problems,
    probe_problems,
)
from tests.realstack.sessions.judging import (
    CREATION,
    END,
    figures_of,
    strange_spans,
    trace_problems,
)
from tests.realstack.sessions.keyed_redis import OURS, keyed_redis
from tests.realstack.sessions.kinds_case import judged
from tests.realstack.sessions.made import Made, made_of
from tests.realstack.sessions.outcome import Outcome, merged, read_outcomes, write_outcomes
from tests.realstack.sessions.probes import NO_ANSWER, Probe, probes_of
from tests.realstack.sessions.processes import is_split
from tests.realstack.sessions.redis_judging import complaint_problems, complaints, time_problems
from tests.realstack.sessions.report import section
from tests.realstack.stack.settings import HERE, newest_releases

_SECOND = 1_000_000_000
ONE = Made("session-1", "created-1", "destroyed-1", 0.0, 0.2, 10.0, 15.0, names=("kernel-1", "c0ffee1"))
TWO = Made("session-2", "created-2", "destroyed-2", 0.0, 0.2, 10.0, 15.0, names=("kernel-2", "c0ffee2"))


def span(name: str, start: float, end: float, **changes: object) -> Span:
    """A span of the first session's creation between two seconds, in the manager."""
    made = Span(
        trace_id="trace-1",
        span_id=f"{name}{start}",
        parent_span_id="root",
        name=name,
        kind="internal",
        start_ns=int(start * _SECOND),
        end_ns=int(end * _SECOND),
        service="backend.ai-manager",
        attributes={ATTRIBUTE_REQUEST_ID: "created-1", ATTRIBUTE_SESSION_ID: "session-1"},
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # names of fields


def attributes(request: str, session: str = "session-1", **more: str) -> dict[str, AttributeValue]:
    """Attributes of a span under ``request`` about ``session``."""
    return {ATTRIBUTE_REQUEST_ID: request, ATTRIBUTE_SESSION_ID: session, **more}


REACHED = attributes("created-1") | {ATTRIBUTE_SESSION_NEXT_STATUS: CREATION}
GOOD = [
    span("POST /session", 0, 0.2, kind="server", parent_span_id=""),
    span("create session", 0, 1),
    span("session CREATING", 1, 8, attributes=REACHED),
    span("create_kernels", 2, 7, service="backend.ai-agent", kind="server"),
]


def problems(spans: list[Span], *, killed: bool = False, lost: float = 0.0) -> list[str]:
    """What is wrong with the creation of the first session."""
    return trace_problems(figures_of(spans, ONE, CREATION, killed=killed), CREATION, ["manager", "agent"], lost)


def test_a_good_creation() -> None:
    """One trace, covered until the status that its spans tell of and not until the poll, with both components."""
    assert problems(GOOD) == []
    figures = figures_of(GOOD, ONE, CREATION)
    assert figures is not None
    assert (figures.share, figures.seconds, figures.components) == (1.0, 8.0, ("agent", "manager"))


def test_what_turns_a_creation_red() -> None:
    """A second trace, an unexplained second of eight, a component that is not in it, and no trace at all."""
    assert problems([*GOOD, span("stray", 1, 2, trace_id="trace-2")]) == ["2 traces until RUNNING"]
    short = [GOOD[0], span("create session", 0.5, 1), *GOOD[2:]]
    assert problems(short) == ["93.8% covered until RUNNING"]
    assert problems(GOOD[:3]) == ["no span of agent until RUNNING"]
    assert problems([]) == ["no trace until RUNNING"]


def test_a_killed_manager_is_judged_from_the_clients_request_on() -> None:
    """The request's own span is lost; of the time, what was not sent yet is forgiven, and no more."""
    late = [*GOOD[2:], span("create session", 0.1, 1)]
    assert problems(late, killed=True) == []
    assert problems([GOOD[3], span("session CREATING", 4, 8, attributes=REACHED)], killed=True) == [
        "50.0% covered until RUNNING"
    ]
    unsent = [GOOD[3], span("session CREATING", 1, 8, attributes=REACHED)]
    assert problems(unsent, killed=True) == ["87.5% covered until RUNNING"]
    assert problems(unsent, killed=True, lost=1.0) == []
    client = span("a session", 0, 9, service="client")
    assert problems([client, *GOOD[3:], span("x", 4, 8, attributes=REACHED)], killed=True) != []


def test_an_end_without_its_status_is_judged_by_the_poll() -> None:
    """No span says when it was TERMINATED: the client's poll does."""
    server = span("DELETE", 12, 13, kind="server", attributes=attributes("destroyed-1"))
    work = span("destroy session", 12, 15, attributes=attributes("destroyed-1"), service="backend.ai-agent")
    figures = figures_of([server, work], ONE, END)
    assert figures is not None
    assert (figures.seconds, trace_problems(figures, END, ["manager", "agent"])) == (3.0, [])


RESTARTED = replace(ONE, kind="restart", restarted="restarted-1")
AGAIN = [
    span("PATCH", 11, 13, kind="server", attributes=attributes("restarted-1"), trace_id="trace-2"),
    span(
        "restart_kernel", 11, 13, service="backend.ai-agent", attributes=attributes("restarted-1"), trace_id="trace-2"
    ),
    span(
        "session RESTARTING",
        11,
        13,
        attributes=attributes("restarted-1") | {ATTRIBUTE_SESSION_NEXT_STATUS: CREATION},
        trace_id="trace-2",
    ),
]


def ended(request: str) -> Span:
    """The last status of the first session, under this request."""
    told = attributes(request) | {ATTRIBUTE_SESSION_NEXT_STATUS: END}
    traces = {"created-1": "trace-1", "restarted-1": "trace-2", "destroyed-1": "trace-3"}
    return span("session TERMINATING", 14, 15, attributes=told, trace_id=traces[request])


def cell(one: Made, spans: list[Span]) -> tuple[str, list[str]]:
    """What is said of a kind of which these spans are known."""
    return judged(one, Observation(steps=[], spans=spans))


def test_a_restart_is_judged_by_its_own_request() -> None:
    """From it until RUNNING again, which is another time than the creation's; the end is a third request's."""
    assert cell(RESTARTED, [*GOOD, *AGAIN, ended("destroyed-1")]) == ("2.00 s, 3 spans, 100.0%", [])
    shown, found = cell(RESTARTED, [*GOOD, ended("destroyed-1")])
    assert (shown, found) == ("no trace", ["no trace until RUNNING again"])
    late = [*GOOD, *AGAIN, ended("restarted-1")]
    assert cell(RESTARTED, late)[1] == ["its end is not in the trace of the request that it belongs to"]


def test_a_batch_job_ends_in_its_own_trace() -> None:
    """Nobody asks for its end: that is the creation's."""
    batch = replace(ONE, kind="batch", destroyed="")
    assert batch.requests == ("created-1",)
    assert cell(batch, [*GOOD, ended("created-1")]) == ("8.00 s, 5 spans, 100.0%", [])
    odd = replace(batch, answered="500 Internal Server Error")
    assert cell(odd, [*GOOD, ended("created-1")])[0].endswith(" (answered 500 Internal Server Error)")
    assert cell(batch, GOOD)[1] == ["its end is not in the trace of the request that it belongs to"]


def test_a_kind_that_the_release_refuses() -> None:
    """What no client can have is n/a, with what the release said; any other refusal is red."""
    shown, found = cell(replace(RESTARTED, refused="501 Not Implemented"), [])
    assert (shown, found) == ("n/a (the release has no restart: 501 Not Implemented)", [])
    assert cell(replace(ONE, kind="template", refused="400 Bad Request"), [])[1] == ["refused: 400 Bad Request"]


def test_spans_of_another() -> None:
    """A span about one session under another's request, in another's trace, or under nobody's."""
    assert strange_spans(GOOD, [ONE, TWO]) == []
    kernel = attributes("created-1", **{ATTRIBUTE_KERNEL_ID: "kernel-2"})
    assert (
        "is about session-2 under a request of session-1"
        in strange_spans([span("x", 0, 1, attributes=kernel)], [ONE, TWO])[0]
    )
    other = span("y", 0, 1, attributes=attributes("created-2", "session-2"))
    assert "trace of another request" in strange_spans([*GOOD, other], [ONE, TWO])[0]
    nobodys = span("check_running", 0, 1, attributes=attributes("of-a-timer"), trace_id="trace-3")
    assert "without its request ID" in strange_spans([nobodys], [ONE, TWO])[0]
    assert strange_spans([span("z", 0, 1, attributes=attributes("of-a-timer", "session-9"))], [ONE, TWO]) == []


def test_noise() -> None:
    """Thirty spans a minute are too many, whoever sends them; what ended before or after does not count."""
    spans = [span("tick", 0, second) for second in range(1, 40)]
    ended = ended_between(spans, 5 * _SECOND, 35 * _SECOND)
    assert by_component(ended) == "manager 30"
    assert noise_problems(ended, 60) == [
        "30 spans a minute from an idle stack: manager 30; most of all manager internal tick (30)"
    ]
    assert noise_problems(ended[1:], 60) == []


def test_silence_is_good_only_of_who_can_speak() -> None:
    """A cluster without the plugin sends nothing in a minute, too: who is asked after it has to answer with a span."""
    served = [
        span("POST /session", 61, 62, kind="server"),
        span("create_kernels", 63, 64, kind="server", service="backend.ai-agent"),
    ]
    asked = [("manager", "created-1"), ("agent", "created-1")]
    assert dead_problems(served, asked) == []
    silent = ["agent: no SERVER span of the request after the minute"]
    assert dead_problems(served[:1], asked) == silent
    assert dead_problems([served[0], replace(served[1], kind="internal")], asked) == silent
    assert dead_problems(served, [*asked, ("agent", "another")]) == silent
    assert len(dead_problems([], asked)) == 2
    assert dead_problems(served, []) == ["not asked"]


def test_who_watches_is_answered() -> None:
    """An endpoint that is not there is not probed, and a stack that nobody probes is not idle as a real one is."""
    metrics, health = Probe("manager", "http://m", "/metrics"), Probe("agent", "http://a", "/health")
    good = [200] * 12
    assert probe_problems({metrics: good, health: [NO_ANSWER, 503, *good[:6]]}) == []
    assert probe_problems({metrics: good, health: [404] * 2}) == ["agent: /health answered [404, 404] to its probes"]
    assert len(probe_problems({metrics: good[:5], health: [NO_ANSWER] * 12})) == 2
    assert probe_problems({}) == ["nothing was probed"]


@pytest.mark.parametrize("release", newest_releases())
def test_every_release_names_what_is_probed(release: str) -> None:
    """On ports of its own block, and of components that it has."""
    asked = f'. {HERE}/lib.sh; echo "$COMPONENTS"; release_probes'
    environment = os.environ | {"REALSTACK_RELEASE": release, "REALSTACK_PORT_BASE": "20000"}
    command = [shutil.which("bash") or "bash", "-c", asked]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    components, *lines = done.stdout.splitlines()
    found = list(probes_of(lines))
    assert {probe.component for probe in found} <= set(components.split())
    assert "storage" in {probe.component for probe in found}
    assert all(probe.base.startswith("http://127.0.0.1:200") and probe.path.startswith("/") for probe in found)


def test_who_did_what() -> None:
    """Split is a creation that one process served and whose kernels another one asked for."""
    call = span("create_kernels", 1, 2, kind="client", resource={"process.pid": 2})
    served = replace(GOOD[0], resource={"process.pid": 1})
    assert is_split([served, call], ONE)
    assert not is_split([served, replace(call, resource={"process.pid": 1})], ONE)
    assert not is_split([served], ONE)
    assert not is_split([call], ONE)


def runs(*seconds: float) -> list[list[Made]]:
    """Runs of one session that was RUNNING after so many seconds each."""
    return [[replace(ONE, running_at=one)] for one in seconds]


USUAL = runs(10.0, 10.4, 9.8)


def test_redis_costs_no_time() -> None:
    """Half of what one answer takes is too much for the request, and for RUNNING beyond what is usual."""
    assert time_problems("slow", USUAL, [[replace(ONE, post_seconds=0.9, running_at=11.0)]]) == []
    slow = [[replace(ONE, post_seconds=1.3)]]
    assert time_problems("slow", USUAL, slow) == ["with Redis slow the answer to a creation took 1.1 s longer"]
    late = time_problems("slow", USUAL, runs(12.5, 12.2, 11.9))
    assert late == ["with Redis slow a session was RUNNING 2.2 s later, 0.2 s is usual"]


def test_one_number_acquits_nobody() -> None:
    """Neither a late session before, nor an early one after: medians are compared."""
    assert time_problems("slow", [*USUAL, *runs(40.0)], runs(12.5, 12.2, 11.9))
    assert time_problems("slow", USUAL, runs(12.5, 12.2, 5.0))


def test_one_number_condemns_nobody() -> None:
    """A session that was late by itself, or runs that were never alike."""
    assert time_problems("slow", USUAL, runs(10.0, 40.0, 10.2)) == []
    assert time_problems("slow", runs(8.0, 10.0, 12.0), runs(12.5, 12.2, 11.9)) == []


def complaint(second: int, process: int = 7) -> str:
    """A line as the release's log has it."""
    said = "Redis does not keep the traces of sessions for other processes: TimeoutError"
    at = f"2026-11-24 02:{second // 60:02}:{second % 60:02}.500"
    return f"{at} WARNING otel_backendai.hops.context_store [{process}] {said}"


def test_one_complaint_a_minute() -> None:
    """Each process may say it once a minute."""
    lines = [complaint(0), "2026-11-24 02:00:01.000 INFO x [7] y", complaint(60), complaint(1, process=8)]
    assert complaint_problems(lines) == []
    assert complaints(lines) == 3
    (problem,) = complaint_problems([complaint(0), complaint(30)])
    assert problem.startswith("two complaints within 30 s")


def test_what_the_client_tells() -> None:
    """The report of `drive_sessions.py`, field by field."""
    told = {"id": "s", "created": "a", "destroyed": "b", "posted_at": 1.0, "running_at": 4.0, "names": ["k"]}
    one = made_of(told)
    assert (one.session, one.requests, one.seconds, one.names) == ("s", ("a", "b"), 3.0, ["k"])


def test_a_release_alone(tmp_path: Path) -> None:
    """The trace of the request for a session is found by its time, and covers what its other spans cover."""
    rows = [
        {"name": "POST /session", "kind": 2, "trace": "t", "span": "1", "parent": None, "start": 0.05, "end": 0.2},
        {"name": "SELECT", "kind": 3, "trace": "t", "span": "2", "parent": "1", "start": 0.05, "end": 0.15},
        {"name": "GET /session", "kind": 2, "trace": "u", "span": "3", "parent": None, "start": 5, "end": 6},
    ]
    path = tmp_path / "otlp.jsonl"
    lines = [
        {**row, "signal": "span", "service": "manager", "start": row["start"] * _SECOND, "end": row["end"] * _SECOND}  # type: ignore[operator]
        for row in rows
    ]
    path.write_text("\n".join(json.dumps(line) for line in [*lines, {"signal": "log"}]))
    share, count = share_alone(read_sink(path, 0), replace(ONE, running_at=10.05))
    assert (round(share, 3), count) == (0.01, 2)
    assert share_alone(read_sink(path, _SECOND), ONE) == (0.0, 0)
    assert read_sink(tmp_path / "absent", 0) == []


def test_outcomes_are_kept(tmp_path: Path) -> None:
    """A later run of the same case on the same release replaces it; the page shows all, and says what is red."""
    path = tmp_path / "outcomes.json"
    assert read_outcomes(path) == []
    first = [Outcome("26.9.6", "one session", {"covered": "99.0%"}), Outcome("26.9.6", "idle", {}, ["noise"])]
    write_outcomes(path, first)
    later = [Outcome("26.9.6", "idle", {}), Outcome("23.9.10", "one session", {"covered": "90.0%"}, ["90.0% covered"])]
    together = merged(read_outcomes(path), later)
    text = section(together, "2026-11-24")
    assert "|  | 26.9.6 | 23.9.10 |" in text
    assert "| **one session** | green | red |" in text
    assert "| covered | 99.0% | 90.0% |" in text
    assert "| **idle** | green | - |" in text
    assert "- **23.9.10, one session**: 90.0% covered" in text


@pytest.fixture
def redis_port() -> Iterator[int]:
    """The port of a Redis server of our own."""
    binary = shutil.which("redis-server")
    assert binary, "redis-server is missing (Debian: apt-get install redis-server)"
    port = free_port()
    command = [binary, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--loglevel", "warning"]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                redis.Redis(port=port).ping()
                break
            except redis.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_redis_that_is_bad_with_our_keys_alone(redis_port: int) -> None:
    """Behind the proxy all works as before; held back and refused is what names our keys or channels, nothing else."""
    hidden = free_port()
    with keyed_redis(redis_port, hidden) as keyed:
        client: Any = redis.Redis(port=redis_port, db=4)
        client.set(SESSION_KEY_PREFIX + "a", "1")
        client.set("otherwise", "2")
        assert keyed.has("a")
        listener = client.pubsub()
        listener.subscribe("events_all", SESSION_CHANNEL)
        assert [listener.get_message(timeout=10)["type"] for _ in range(2)] == ["subscribe"] * 2
        assert not keyed.held_back
        keyed.delay = 0.1
        client.get("otherwise")
        client.publish("events_all", "hello")
        assert not keyed.held_back
        client.get(SESSION_KEY_PREFIX + "a")
        client.get(TOKEN_KEY_PREFIX + "a")
        for channel in (SESSION_CHANNEL, TOKEN_CHANNEL):
            client.publish(channel, "a {}")
        assert keyed.held_back == dict.fromkeys(OURS, 1)
        keyed.delay = 0.0
        keyed.refuse()
        attempts: list[Callable[[], object]] = [
            lambda: client.set(SESSION_KEY_PREFIX + "b", "1"),
            lambda: client.set(TOKEN_KEY_PREFIX + "b", "1"),
            lambda: client.publish(SESSION_CHANNEL, "b {}"),
            lambda: client.publish(TOKEN_CHANNEL, "b {}"),
        ]
        for refused in attempts:
            with pytest.raises(redis.exceptions.NoPermissionError):
                refused()
        for key in ("otherwise", "other", "otelx", "stats"):
            client.set(key, "3")
            client.publish(key, "hello")
        keyed.allow()
        assert not keyed.has("b")
        assert client.publish(SESSION_CHANNEL, "c {}") == 0  # who listened was hung up on
        listener.close()
        client.close()
    assert redis.Redis(port=redis_port, db=4).get("otherwise") == b"3"
