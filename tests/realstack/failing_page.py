# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The page about sessions that do not get on: what an operator reads, and what to make of it."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_WIDTH: Final = 110
_BELOW: Final = str.maketrans("├└─", "│  ")

# What is told of a case: its title, and two or three sentences for the operator.
CASES: Final = {
    "broken": (
        "A creation that fails at the agent",
        "The disk under the agent's scratch directory is full, so that no kernel can be made there. Read the lines in "
        "`ERROR` from the bottom up: the deepest one is where it broke, with the component and its own words; those "
        "above it are callers that passed it on. A line `then ...` below a status says what became of the session. "
        "26.9 leaves it in CREATING, as the first text says, which was taken before a later request ended it: a bar "
        "that goes on in `░` has not ended.",
    ),
    "never": (
        "Resources that nobody has",
        "The session asks for a thousand CPUs; the first text was taken while it waited, the others after a later "
        "request had ended it. A bar that goes on in `░` is a session that waits still, and the line below it says "
        "for how long and why, in the scheduler's words. The request that ended it has a trace of its own, and the "
        "time in PENDING, with the reason for its end, stays with the creation.",
    ),
    "timeout": (
        "A pending time-out",
        "The same with `pending_timeout` set for the resource group. Nobody asked for this end, so it is in the trace "
        "of the creation, with the reason that the release gives. From 25.15 on a sweeper looks once a minute, and no "
        "event tells of what it ends. From 26.4 on `pending_timeout` does nothing by itself: each look of the "
        "scheduler sets the sweeper's clock back. What ends a session there is a limit for the handler "
        "`schedule-sessions` in the session options of the resource group, as here; 26.9 leaves such a session in "
        "TERMINATING, because no agent has its kernel.",
    ),
    "killed": (
        "An agent that is killed meanwhile",
        "The agent is killed with `kill -9` while the session is made, and started again. What it had in hand is lost, "
        "and with it its unfinished spans; a call that never returns is told by the manager's side, and what the "
        "release does next is in the same trace.",
    ),
}

_HEAD = """# Sessions that do not get on

What `otel-backendai trace REQUEST_ID` prints of them, from released Backend.AI as real clusters (container-less agents,
see `tests/realstack`), with `OTEL_BACKENDAI_UPSTREAM_SPANS=0`; long lines are folded. Written by
`make failing-sessions`.
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """One case on one release: the statuses that a client saw, and the traces as text, in the order of time."""

    release: str
    case: str
    seen: Sequence[str]
    texts: Sequence[str]


def page(shown: Sequence[Shown]) -> str:
    """The whole page, by cases."""
    parts = [_HEAD]
    for case, (title, sentences) in CASES.items():
        told = [one for one in shown if one.case == case]
        if told:
            parts.append(f"## {title}\n\n{sentences}\n")
        for one in told:
            texts = "\n".join(_fenced(text) for text in one.texts)
            parts.append(f"### {one.release}\n\nA client saw {', '.join(one.seen)}.\n\n{texts}")
    return "\n".join(parts)


def _fenced(text: str) -> str:
    lines = [line for row in text.strip().splitlines() for line in _folded(row.rstrip())]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def _folded(row: str) -> list[str]:
    """A row as lines of bearable length, below each other where its text begins."""
    if len(row) <= _WIDTH:
        return [row]
    indent = row[: len(row) - len(row.lstrip(" │├└─"))]
    below = indent.translate(_BELOW)
    return textwrap.wrap(row[len(indent) :], _WIDTH, initial_indent=indent, subsequent_indent=below)
