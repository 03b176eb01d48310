# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What has to be told of sessions that do not get on; data in, sentences out, none when all is well."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from otel_backendai.cli.trace_text import error_text
from otel_backendai.desk.model import Span
from otel_backendai.names import (
    ATTRIBUTE_SESSION_NEXT_STATUS,
    ATTRIBUTE_SESSION_REASON,
    ATTRIBUTE_SESSION_STATUS,
)
from otel_backendai.releases.session_waits import NAME as WAITS
from tests.realstack.matrix.observation import component_of

# What the stand-in of a container raises in ``broken``.
WORDS: Final = "No space left on device"
# Different reasons in a quarter of a minute. A scheduler looks five times and more at what is pending.
MOST_WAITS: Final = 4

_ENDED = re.compile(r"then (CANCELLED|ERROR|TERMINATING|TERMINATED)\b")
_STUCK = re.compile(r"then [A-Z]+, \d+ s so far")
_WAITING = re.compile(r"still PENDING after \d+ s: \S")
# In the words of the releases to 25.15, and of 26.4 and later.
_TIMED_OUT = re.compile(r"then (CANCELLED: pending.timeout|TERMINATING: [a-z-]+ expired)", re.IGNORECASE)


# What the manager hears when a kernel is there.
_STARTED: Final = "process kernel_started"


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of one session.

    Args:
        traces: The spans of the creation's request, by traces, when the session had ended.
        text: What ``trace`` printed of them.
        meanwhile: What it printed while the session was stuck; "" when it was not asked, for it had ended.
        is_asked: Whether a later request ended the session.
    """

    traces: Sequence[Sequence[Span]]
    text: str
    meanwhile: str = ""
    is_asked: bool = False


def problems(case: str, told: Told) -> list[str]:
    """What is wrong with what is told of a session of ``case``."""
    traces = [] if len(told.traces) == 1 else [f"{len(told.traces)} traces of one creation"]
    return traces + _JUDGES[case](told)


def deepest_errors(spans: Sequence[Span]) -> list[Span]:
    """The failed spans with the most ancestors; several if they are as deep as each other."""
    parents = {span.span_id: span.parent_span_id for span in spans}
    depths: dict[int, list[Span]] = {}
    for span in spans:
        if span.status == "error":
            seen, parent = {span.span_id}, span.parent_span_id
            while parent in parents and parent not in seen:
                seen.add(parent)
                parent = parents[parent]
            depths.setdefault(len(seen), []).append(span)
    return depths[max(depths)] if depths else []


def _broken(told: Told) -> list[str]:
    found = []
    deepest = deepest_errors([span for spans in told.traces for span in spans])
    if not deepest:
        found.append("no span failed")
    for span in deepest:
        if component_of(span) != "agent":
            found.append(f"the deepest error is the {component_of(span)}'s: {span.name}")
        if WORDS not in error_text(span) or error_text(span) not in told.text:
            found.append(f"the deepest error does not say {WORDS!r}")
    if "Traceback" in told.text:
        found.append("a traceback in the text")
    if told.meanwhile and not _STUCK.search(told.meanwhile):
        found.append("no line says where the session was stuck")
    return found + _became(told)


def _never(told: Told) -> list[str]:
    found = [] if _WAITING.search(told.meanwhile) else ["no line said that it was pending, and why"]
    spans = [span for spans in told.traces for span in spans]
    ends = [span for span in spans if _leaves_pending(span)]
    reasons = [str(span.attributes.get(ATTRIBUTE_SESSION_REASON) or "") for span in ends]
    if not any(f": {reason}" in told.text for reason in reasons if reason):
        found.append("no reason for its end in the trace of the creation")
    # An enumeration's member instead of its text.
    found += [f"a reason for programmers: {reason}" for reason in reasons if re.match(r"\w+\.[A-Z_]+$", reason)]
    waits = sum(span.name == WAITS for span in spans)
    if not 0 < waits <= MOST_WAITS:
        found.append(f"{waits} spans about waiting")
    return found + _became(told)


def _timeout(told: Told) -> list[str]:
    if told.is_asked:
        return ["the session was not ended by the time-out"]
    return [] if _TIMED_OUT.search(told.text) else ["no line says that its time was out"]


def _killed(told: Told) -> list[str]:
    spans = [span for spans in told.traces for span in spans]
    found = ["the agent was not killed while it made a kernel"] if _STARTED in {span.name for span in spans} else []
    return found + _became(told)


def _became(told: Told) -> list[str]:
    return [] if _ENDED.search(told.text) else ["no line says what became of the session"]


def _leaves_pending(span: Span) -> bool:
    following = span.attributes.get(ATTRIBUTE_SESSION_NEXT_STATUS)
    return span.attributes.get(ATTRIBUTE_SESSION_STATUS) == "PENDING" and bool(following)


_JUDGES: Final[Mapping[str, Callable[[Told], list[str]]]] = {
    "broken": _broken,
    "never": _never,
    "timeout": _timeout,
    "killed": _killed,
}
