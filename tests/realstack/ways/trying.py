# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Starts a cluster by one of the ways in, drives it, and says what came out."""

import time
from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from otel_backendai.desk.model import Span
from tests.realstack.matrix.driving import drive
from tests.realstack.matrix.expectation_file import read_expectation
from tests.realstack.matrix.observation import Step, component_of
from tests.realstack.matrix.reading import observe
from tests.realstack.stack.asking import ask
from tests.realstack.stack.control import client_environment, resume, stop
from tests.realstack.stack.settings import Stack
from tests.realstack.token_traces import drive as drive_plain
from tests.realstack.ways.judging import (
    SPAWNING,
    gone_problems,
    hop_problems,
    line_problems,
    started_otherwise,
    token_problems,
    worker_problems,
)
from tests.realstack.ways.line import disable, enable, is_activated
from tests.realstack.ways.report import Verdict
from tests.realstack.ways.way import Way

_ASKED: Final = "manager"
# A token is then brought to another process than the one that made it.
_WORKERS: Final = {"REALSTACK_STORAGE_PROCS": "2"}


def try_way(stack: Stack, name: str, way: Way) -> Verdict:
    """Start everything anew in this way, and judge it; a line in site-packages is gone at the end.

    Raises:
        StackError: Something does not start.
    """
    stop(stack)
    disable(stack)  # of a run that was cut short
    try:
        if way.line:
            enable(stack)
        problems = line_problems(way, is_activated(stack, "1"), is_activated(stack, ""))
        resume(stack, {**_WORKERS, **way.variables})
        expected = read_expectation(stack.family_directory / "hops.toml")
        since = time.time()
        observation = observe(stack.desk_url, drive(stack), since, stack.directory / "log")
        problems += started_otherwise(way, _commands(stack), expected.log_records)
        problems += worker_problems(observation.spans, _pid(stack, SPAWNING))
        hops = hop_problems(expected, observation)
        tokens = _token_problems(stack)
        if way.line:
            problems += _gone(stack, way)
    finally:
        disable(stack)
    return Verdict(name, way.title, hops, tokens, problems)


def _token_problems(stack: Stack) -> list[str]:
    """What becomes of the tokens of a client without the plugin: they need what the plugin knows of Redis."""
    since = time.time() - 1
    steps = drive_plain(stack)
    return token_problems(stack.release, steps, observe(stack.desk_url, [], since, stack.directory / "log").spans)


def _gone(stack: Stack, way: Way) -> list[str]:
    """Take the line out, start one component again in the same environment, and see whether it is still reached."""
    since, asked = time.time(), uuid4().hex
    url = client_environment(stack)["BACKEND_ENDPOINT"]
    ask(url, asked)
    before = _sent(stack, since, asked)
    disable(stack)
    problems = ["an interpreter is activated after disable"] if is_activated(stack, "1") else []
    stop(stack, _ASKED)
    since = time.time()
    resume(stack, {**_WORKERS, **way.variables})
    again = uuid4().hex
    ask(url, again)
    return problems + gone_problems(before, asked, _sent(stack, since, again))


def _sent(stack: Stack, since: float, request_id: str) -> list[Span]:
    observation = observe(stack.desk_url, [Step("asked", request_id, "")], since, stack.directory / "log")
    return [span for span in observation.spans if component_of(span) == _ASKED]


def _commands(stack: Stack) -> Mapping[str, str]:
    return {path.stem: path.read_text() for path in (stack.directory / "run").glob("*.command")}


def _pid(stack: Stack, component: str) -> int:
    return int((stack.directory / "run" / f"{component}.pid").read_text().split()[0])
