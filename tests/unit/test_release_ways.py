# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The judgement behind `make test-ways`: what each way in has to show, and what turns it red."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_REQUEST_ID
from tests.realstack.matrix.expectation_file import read_expectation
from tests.realstack.matrix.observation import Expectation, Hop, Observation, Step
from tests.realstack.stack.settings import HERE, newest_releases, stack_of
from tests.realstack.ways.judging import (
    gone_problems,
    hop_problems,
    line_problems,
    started_otherwise,
    token_problems,
    worker_problems,
)
from tests.realstack.ways.report import Verdict, part
from tests.realstack.ways.way import WAYS

# As `run/NAME.command` has them.
LAUNCHER = "env PATH=/venv/bin:/bin X=y opentelemetry-instrument backend.ai mgr start-server -f m"
COMMAND = "env PATH=/venv/bin:/bin X=y backend.ai mgr start-server -f m"
MODULE = "env PATH=/venv/bin:/bin X=y python -m ai.backend.manager.server -f m"
LINES: Mapping[str, str] = {"launcher": LAUNCHER, "command": COMMAND, "pth": MODULE}


def span(component: str = "storage", kind: str = "server", pid: int | None = 2, request_id: str = "asked") -> Span:
    resource = {} if pid is None else {"process.pid": pid}
    attributes = {ATTRIBUTE_REQUEST_ID: request_id}
    return Span(
        "a" * 32, "1", "", "GET", kind, 0, 1, f"backend.ai-{component}", attributes=attributes, resource=resource
    )


@pytest.mark.parametrize("name", WAYS)
def test_a_component_that_is_started_in_another_way_is_told(name: str) -> None:
    """A launcher in front, a command in the place of a module: the run shows nothing about the way."""
    assert set(WAYS) == set(LINES)
    assert started_otherwise(WAYS[name], {"manager": LINES[name]}, ["manager"]) == []
    for other in set(LINES) - {name}:
        assert started_otherwise(WAYS[name], {"manager": LINES[other]}, ["manager"]) == [
            f"manager was not started in this way: {LINES[other]}"
        ]
    assert started_otherwise(WAYS[name], {}, ["manager"]) == ["manager was not started in this way: not at all"]
    python = COMMAND.replace("backend.ai mgr", "opentelemetry-instrument python -m ai.backend.manager.server")
    assert started_otherwise(WAYS["pth"], {"manager": python}, ["manager"])


@pytest.mark.parametrize("release", newest_releases())
@pytest.mark.parametrize("name", WAYS)
def test_every_component_of_every_release_can_be_started_in_every_way(name: str, release: str) -> None:
    """What `release.sh` starts is a command and a module as well; a stand-in is started as it is."""
    stubs = (
        'component() { local name=$1; shift; echo "$name env X=y $LAUNCH_PREFIX $*"; }; wait_for() { :; }; say() { :; }'
    )
    environment = {"PATH": "/usr/bin:/bin", "REALSTACK_RELEASE": release, **WAYS[name].variables}
    command = [shutil.which("bash") or "bash", "-euc", f". {HERE}/lib.sh; {stubs}; release_start"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    commands = {component: line for component, _, line in (line.partition(" ") for line in done.stdout.splitlines())}
    names = read_expectation(stack_of(release).family_directory / "hops.toml").log_records
    assert started_otherwise(WAYS[name], commands, names) == []


def test_the_variables_of_a_way_let_no_other_way_in() -> None:
    """A launcher reaches everything below it; so does the setting, with the line and with the command."""
    for way in WAYS.values():
        assert bool(way.variables["LAUNCH_PREFIX"]) != bool(way.variables["OTEL_BACKENDAI_ACTIVATE"])
    assert [name for name, way in WAYS.items() if way.line] == ["pth"]


@pytest.mark.parametrize(
    ("spans", "problems"),
    [
        ([span()], []),
        ([span(pid=1), span()], []),
        ([span(pid=1)], ["storage: no SERVER span of a spawned worker"]),
        ([span(pid=None)], ["storage: no SERVER span of a spawned worker"]),
        ([span(kind="internal")], ["storage: no SERVER span of a spawned worker"]),
        ([span(component="manager")], ["storage: no SERVER span of a spawned worker"]),
        ([], ["storage: no SERVER span of a spawned worker"]),
    ],
)
def test_a_spawned_worker_is_another_process(spans: Sequence[Span], problems: list[str]) -> None:
    """What the process that was started sends says nothing about the new interpreters below it."""
    assert worker_problems(spans, 1) == problems


def test_the_line_acts_where_it_is_asked_for_and_nowhere_else() -> None:
    """It is there for one way only, and does nothing unless the environment says so."""
    assert line_problems(WAYS["pth"], True, False) == []
    assert line_problems(WAYS["command"], False, False) == []
    assert line_problems(WAYS["pth"], False, False) == ["the line in site-packages does not act"]
    assert line_problems(WAYS["command"], True, False) == ["the line in site-packages acts in this way, too"]
    assert line_problems(WAYS["pth"], True, True) == [
        "an interpreter is activated although the environment does not say so"
    ]


def test_gone_is_gone() -> None:
    """Silence after `disable` shows something only where there was none before."""
    assert gone_problems([span("manager")], "asked", []) == []
    assert gone_problems([span("manager")], "asked", [span("manager")]) == ["1 spans after disable"]
    assert gone_problems([], "asked", []) == ["no span of a request before disable"]
    assert gone_problems([span("manager", request_id="x")], "asked", []) == ["no span of a request before disable"]


def test_a_way_in_is_judged_by_the_whole_matrix() -> None:
    """A step that fails, and whatever makes a cell of the matrix red."""
    step = Step("a step", "asked", "a" * 32)
    expected = Expectation(absent=dict.fromkeys(Hop, "not here"))
    assert hop_problems(expected, Observation([step], [])) == []
    assert hop_problems(expected, Observation([replace(step, error="refused")], [])) == ["a step: refused"]
    absent: dict[Hop, str] = {hop: "not here" for hop in Hop if hop is not Hop.HTTP_IN}
    assert hop_problems(Expectation(http_in=["manager"], absent=absent), Observation([step], [])) == [
        "HTTP in: manager: no SERVER span under a request ID of the client"
    ]


def test_tokens_tell_whether_the_clusters_redis_was_learnt() -> None:
    """Both journeys have to be there, and each visit in the trace of the request that made its token."""

    def served(route: str, path: str, at: int, trace: str) -> Span:
        attributes = {ATTRIBUTE_REQUEST_ID: trace, "http.route": route, "url.path": path}
        return replace(span(), trace_id=trace, start_ns=at * 1_000_000_000, attributes=attributes)

    journeys = ("folder upload", "folder download")
    steps = [
        {"title": name, "journey": name, "error": "", "began": began, "ended": began + 1}
        for began, name in enumerate(journeys)
    ]
    upload = [served("/folders/{n}/request-upload", "/folders/x", 0, "t"), served("/upload", "/upload", 1, "t")]
    download = [served("/folders/{n}/request-download", "/folders/x", 1, "u"), served("/download", "/download", 2, "u")]
    assert token_problems("23.9.10", steps, [*upload, *download]) == []
    assert token_problems("23.9.10", steps[:1], upload) == [
        "download by a plain client: not done, see the command's output"
    ]
    assert token_problems("26.9.6", steps, [*upload, *download]) == [
        "app start by a plain client: not done, see the command's output"
    ]
    stray = replace(upload[1], trace_id="v")
    assert token_problems("23.9.10", steps, [upload[0], stray, *download]) == [
        "upload by a plain client: backend.ai-storage GET /upload is in another trace"
    ]
    shown = replace(download[1], attributes={**download[1].attributes, "url.full": "http://s/download?token=abc"})
    assert token_problems("23.9.10", steps, [*upload, download[0], shown]) == [
        "no token on a span: a token is on backend.ai-storage GET of "
    ]


def test_the_part_of_a_release() -> None:
    """One row per way, and a reason for each that is not green."""
    verdicts = [Verdict("launcher", "`l`"), Verdict("command", "`c`", tokens=["upload: lost"], started=["late"])]
    text = part(verdicts, "2026-11-28")
    assert "| launcher | green | green | green | `l` |\n" in text
    assert "| command | green | red | red | `c` |\n" in text
    assert text.endswith("\n- **command**: late; upload: lost\n")
    assert "- **launcher**" not in text
