# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The last spans of a component: what it holds when it is told to end, it sends before it has ended."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from tests.realstack.matrix.reading import serving
from tests.realstack.stack.asking import addresses, ask
from tests.realstack.stack.settings import Stack

# For ``up.sh``, in milliseconds: no queue is emptied by time within a run.
VARIABLES: Final[Mapping[str, str]] = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_BLRP_SCHEDULE_DELAY": "600000"}
_PATH: Final = "/otel-backendai-asks"
# The system gives each new connection to one of the processes that listen: all of so many to one of two is no chance.
_TIMES: Final = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """A component that was asked, and the request ID under which it was."""

    component: str
    request_id: str


def ask_every_worker(stack: Stack) -> list[Asked]:
    """Ask each component that listens for HTTP at each of its addresses, on new connections, until each worker was."""
    asked = []
    for component, url in addresses(stack):
        for _ in range(_TIMES):
            asked.append(Asked(component, uuid4().hex))
            ask(url + _PATH, asked[-1].request_id)
    return asked


def arrived(desk_url: str, asked: Iterable[Asked]) -> set[Asked]:
    """Those whose SERVER span is at the desk."""
    return {one for one in asked if one.component in serving(desk_url, one.request_id)}


def last_span_problems(
    components: Collection[str], asked: Sequence[Asked], before: Collection[Asked], after: Collection[Asked]
) -> list[str]:
    """What is wrong with the spans of requests that components served last.

    Args:
        components: Those that have to be among the asked.
        asked: All.
        before: Those whose SERVER span had arrived before the components were told to end.
        after: And once they had ended.
    """
    return [problem for component in components for problem in _of(component, asked, before, after)]


def _of(component: str, asked: Sequence[Asked], before: Collection[Asked], after: Collection[Asked]) -> Iterator[str]:
    own = [one for one in asked if one.component == component]
    waited = [one for one in own if one not in before]
    missing = sum(one not in after for one in own)
    if not waited:
        yield f"{component}: no span waited for its end"
    if missing:
        yield f"{component}: {missing} of the {len(own)} requests that it served last have no SERVER span"
