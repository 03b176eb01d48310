# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The verdict on each hop of a run: nothing but data in, nothing but data out.

The functions for the hops return sentences, one per problem; none means that the hop is green. A sentence names the
component. What a release has no use for is ``n/a``, by its ``hops.toml``; what is expected and not there is a problem.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.realstack.matrix.judging_events import background, event_in, event_out
from tests.realstack.matrix.judging_http import http_in, http_out, websocket
from tests.realstack.matrix.judging_journeys import journey
from tests.realstack.matrix.judging_logs import log_records
from tests.realstack.matrix.judging_rpc import rpc_in, rpc_out
from tests.realstack.matrix.observation import Expectation, Hop, Observation
from tests.realstack.matrix.span_tree import SpanTree


@dataclass(frozen=True, slots=True)
class Cell:
    """The verdict on a hop: green without problems, ``n/a`` with a reason."""

    problems: tuple[str, ...] = ()
    not_applicable: str = ""


_JUDGES: Final[Mapping[Hop, Callable[[Expectation, Observation, SpanTree], list[str]]]] = {
    Hop.HTTP_IN: http_in,
    Hop.HTTP_OUT: http_out,
    Hop.WEBSOCKET: websocket,
    Hop.RPC_OUT: rpc_out,
    Hop.RPC_IN: rpc_in,
    Hop.EVENT_OUT: event_out,
    Hop.EVENT_IN: event_in,
    Hop.BACKGROUND: background,
    Hop.LOG_RECORDS: log_records,
}


def judge(expectation: Expectation, observation: Observation) -> dict[Hop, Cell]:
    """The verdict on each hop."""
    tree = SpanTree(observation)
    return {
        hop: Cell(not_applicable=expectation.absent[hop])
        if hop in expectation.absent
        else Cell(tuple(problems_of(expectation, observation, tree)))
        for hop, problems_of in _JUDGES.items()
    }


def judge_journeys(expectation: Expectation, observation: Observation) -> dict[str, Cell]:
    """The verdict on each journey that the release's scenario goes through, by its title."""
    tree = SpanTree(observation)
    return {
        title: Cell(tuple(journey(title, expected, observation, tree)))
        for title, expected in expectation.journeys.items()
    }
