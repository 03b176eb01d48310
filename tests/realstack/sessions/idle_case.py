# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The case of a stack that nobody uses: everything is on, probes and scrapes come in, and next to nothing goes out."""

import time
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import uuid4

from otel_backendai.desk.model import Span
from tests.realstack.matrix.observation import Step
from tests.realstack.matrix.reading import observe
from tests.realstack.sessions.alone import read_sink
from tests.realstack.sessions.driving import drive
from tests.realstack.sessions.idle import by_component, dead_problems, ended_between, noise_problems, probe_problems
from tests.realstack.sessions.outcome import TITLES, Outcome
from tests.realstack.sessions.probes import Probe, keep_probing, read_probes
from tests.realstack.stack.asking import ask
from tests.realstack.stack.control import components, relaunch
from tests.realstack.stack.settings import Stack

_SECONDS: Final = 60
# Exporters send every second; what the session before left behind has arrived after this.
_SETTLED: Final = 10
# Backend.AI's own tracing, in releases which have it; its endpoint is the sink's gRPC port.
OWN_TRACING: Final = {"REALSTACK_OTEL": "1", "REALSTACK_SINK": "1"}


def idle(stack: Stack) -> Outcome:
    """Nobody asks for anything but health and metrics, for a minute; then for something, of every component."""
    relaunch(stack, components(stack), OWN_TRACING)
    drive(stack)  # a stack that has been used
    time.sleep(_SETTLED)
    start = time.time()
    answers = keep_probing(read_probes(stack), _SECONDS)
    end = time.time()
    time.sleep(_SETTLED)
    ended = ended_between(_sent(stack, start), int(start * 1e9), int(end * 1e9))
    asked, spans = _ask_all(stack, answers)
    problems = [*noise_problems(ended, end - start), *probe_problems(answers), *dead_problems(spans, asked)]
    return Outcome(stack.release, TITLES["idle"], _rows(stack, ended, answers, asked), problems)


def _sent(stack: Stack, since: float) -> list[Span]:
    """What arrived at the desk, and at the sink, to which Backend.AI's own exporters would send."""
    spans = observe(stack.desk_url, [], since, stack.directory / "log").spans
    return [*spans, *read_sink(stack.directory / "otlp.jsonl", int(since * 1e9))]


def _ask_all(stack: Stack, answers: Mapping[Probe, Sequence[int]]) -> tuple[list[tuple[str, str]], Sequence[Span]]:
    """A session, which manager and agent have to work for, and a request to each component that was probed."""
    since = time.time() - 1
    asked = []
    for component, base in dict.fromkeys((probe.component, probe.base) for probe in answers):
        asked.append((component, uuid4().hex))
        ask(f"{base}/", asked[-1][1])
    asked += [(name, one.created) for one in drive(stack) for name in ("manager", "agent")]
    steps = [Step(name, request_id, "") for name, request_id in asked]
    return asked, observe(stack.desk_url, steps, since, stack.directory / "log").spans


def _rows(
    stack: Stack,
    ended: Sequence[Span],
    answers: Mapping[Probe, Sequence[int]],
    asked: Sequence[tuple[str, str]],
) -> dict[str, str]:
    own = "[otel]" in (stack.directory / "conf" / "manager.toml").read_text()
    probed = sum(map(len, answers.values()))
    return {
        "spans in a minute": f"{len(ended)}" + (f" ({by_component(ended)})" if ended else ""),
        "probes and scrapes in it": f"{probed} of {len(answers)} endpoints",
        "Backend.AI's own tracing": "on" if own else "none in this release",
        "asked after it": ", ".join(dict.fromkeys(name for name, _ in asked)),
    }
