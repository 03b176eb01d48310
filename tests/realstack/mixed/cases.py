# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Clusters in which some components have the plugin and others do not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.realstack.matrix.observation import Expectation, Observation
from tests.realstack.mixed.judging import (
    agent_alone,
    agent_beside_upstreams_tracing,
    all_but,
    manager_alone,
    nothing_from,
)

Judge = Callable[[Expectation, Observation], list[str]]

# Backend.AI's own tracing in every component; it sends to the gRPC port of the sink.
_OTEL = {"REALSTACK_OTEL": "1", "REALSTACK_SINK": "1"}


@dataclass(frozen=True, slots=True)
class Case:
    """Who has the plugin, and what a request carries nevertheless. The client has it in every case.

    Attributes:
        title: For the table.
        has_plugin: Whether a component has it, by its name; stand-ins of a stack never have it.
        carried: What has to arrive, in words.
        judge: The problems of what was seen.
        variables: Further ones for ``up.sh``.
        needs_native: Only for releases whose RPC has a request ID and a trace of its own.
    """

    title: str
    has_plugin: Callable[[str], bool]
    carried: str
    judge: Judge
    variables: dict[str, str] = field(default_factory=dict)
    needs_native: bool = False

    def plugged(self, components: Sequence[str]) -> list[str]:
        """The components that have the plugin."""
        return [name for name in components if self.has_plugin(name)]

    def problems(self, expected: Expectation, observation: Observation, components: Sequence[str]) -> list[str]:
        """What is wrong: steps that failed, what did not arrive, and what arrived although it cannot."""
        plain = [name for name in components if not self.has_plugin(name)]
        return [
            *(f"{step.title}: {step.error}" for step in observation.steps if step.error),
            *nothing_from(plain, observation),
            *self.judge(expected, observation),
        ]


CASES = (
    Case(
        "manager only",
        lambda name: name == "manager",
        "requests to the manager, its events, its log records; its calls to the agent as CLIENT spans",
        manager_alone,
    ),
    Case(
        "agent only",
        lambda name: name == "agent",
        "calls as SERVER spans, with the request ID of the client where the release's own RPC carries it",
        agent_alone,
    ),
    Case(
        "agent only, [otel] on everywhere",
        lambda name: name == "agent",
        "calls continue the trace in the release's own RPC, which began at the client",
        agent_beside_upstreams_tracing,
        variables=_OTEL,
        needs_native=True,
    ),
    Case(
        "all but the storage-proxy",
        lambda name: name != "storage",
        "every hop that does not end there",
        lambda expected, observation: all_but("storage", expected, observation),
    ),
)
