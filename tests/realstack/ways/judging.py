# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What a way in has to show. Like all judgement: data in, sentences out, none when it is green."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.semconv.resource import ResourceAttributes

from otel_backendai.desk.model import Span
from tests.realstack.deferred.journeys import token_outcomes
from tests.realstack.matrix.judging import judge, judge_journeys
from tests.realstack.matrix.observation import Expectation, Observation, component_of, request_id_of
from tests.realstack.ways.way import Way

# Its server is a worker that is a new interpreter (multiprocessing's spawn) in every release: the hardest to get into.
SPAWNING: Final = "storage"


def hop_problems(expected: Expectation, observation: Observation) -> list[str]:
    """Steps that failed, and everything that is red in the matrix of the nine hops and of the journeys."""
    hops, journeys = judge(expected, observation), judge_journeys(expected, observation)
    return [
        *(f"{step.title}: {step.error}" for step in observation.steps if step.error),
        *(f"{subject}: {problem}" for subject, cell in [*hops.items(), *journeys.items()] for problem in cell.problems),
    ]


def token_problems(release: str, steps: Sequence[Mapping[str, Any]], spans: Sequence[Span]) -> list[str]:
    """What is wrong with the traces of a client without the plugin, which comes back with tokens.

    Args:
        release: The release.
        steps: The report of ``plain.py``.
        spans: What arrived meanwhile.
    """
    outcomes = token_outcomes(release, steps, spans)
    return [f"{one.case}: {', '.join(one.problems)}" for one in outcomes if one.problems]


def started_otherwise(way: Way, commands: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """The components that were started in another way than the one that is tried.

    Args:
        way: The one that is tried.
        commands: The command line of each component, with ``env`` and its variables in front.
        names: Of the components.
    """
    return [
        f"{name} was not started in this way: {commands.get(name, 'not at all')}"
        for name in names
        if not way.started.search(commands.get(name, ""))
    ]


def worker_problems(spans: Sequence[Span], started: int) -> list[str]:
    """Whether a spawned worker sent SERVER spans: one that is not the process that was started."""
    pids = {
        span.resource.get(ResourceAttributes.PROCESS_PID)
        for span in spans
        if span.kind == "server" and component_of(span) == SPAWNING
    }
    return [] if pids - {started, None} else [f"{SPAWNING}: no SERVER span of a spawned worker"]


def line_problems(way: Way, with_setting: bool, without_setting: bool) -> list[str]:
    """Whether the line in site-packages does what it is to do, and nothing where it is not to be.

    Args:
        way: The one that is tried.
        with_setting: Whether a new interpreter was activated where the environment says so.
        without_setting: And where it does not.
    """
    problems = ["an interpreter is activated although the environment does not say so"] if without_setting else []
    if with_setting != way.line:
        problems.append(
            "the line in site-packages does not act" if way.line else "the line in site-packages acts in this way, too"
        )
    return problems


def gone_problems(before: Sequence[Span], asked: str, after: Sequence[Span]) -> list[str]:
    """Whether a component that was started again after ``otel-backendai disable`` is as if there were no plugin.

    Args:
        before: What the component sent until then.
        asked: The request ID of a request to it before.
        after: What it sent since it was started again and asked again.
    """
    problems = [] if any(request_id_of(span) == asked for span in before) else ["no span of a request before disable"]
    return problems + ([f"{len(after)} spans after disable"] if after else [])
