# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What a stack sends when nobody asks it for anything but how it is; data in, sentences out, none when all is well."""

from collections import Counter
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from otel_backendai.desk.model import Span
from tests.realstack.matrix.observation import component_of, request_id_of
from tests.realstack.matrix.sentences import some
from tests.realstack.sessions.probes import Probe

# Spans a minute over all components: a stack that is left alone is not to fill a receiver.
MOST_IDLE_SPANS: Final = 30
# Names that a sentence about too many spans has.
_NAMED = 8
# Of the probes of an endpoint; one or the other may come while a busy machine does something else.
_LEAST_ANSWERS: Final = 6


def ended_between(spans: Sequence[Span], start_ns: int, end_ns: int) -> list[Span]:
    """The spans that ended between two times (nanoseconds since the epoch)."""
    return [span for span in spans if start_ns <= span.end_ns < end_ns]


def by_component(spans: Sequence[Span]) -> str:
    """How many spans each component has, as text."""
    return ", ".join(f"{name} {number}" for name, number in sorted(Counter(map(component_of, spans)).items()))


def noise_problems(ended: Sequence[Span], seconds: float) -> list[str]:
    """What is wrong with these spans in so many seconds. Nothing with none at all: see :func:`dead_problems`."""
    each_minute = len(ended) * 60 / seconds
    if each_minute < MOST_IDLE_SPANS:
        return []
    names = Counter(f"{component_of(span)} {span.kind} {span.name}" for span in ended).most_common(_NAMED)
    named = ", ".join(f"{name} ({number})" for name, number in names)
    return [f"{each_minute:.0f} spans a minute from an idle stack: {by_component(ended)}; most of all {named}"]


def dead_problems(spans: Sequence[Span], asked: Sequence[tuple[str, str]]) -> list[str]:
    """The components that would be silent whatever happens.

    Args:
        spans: What arrived after the silence.
        asked: Component and request ID of each request that was made after it.
    """
    served = {(component_of(span), request_id_of(span)) for span in spans if span.kind == "server"}
    silent = [name for name, request_id in asked if (name, request_id) not in served]
    return (
        some(f"{name}: no SERVER span of the request after the minute" for name in silent) if asked else ["not asked"]
    )


def probe_problems(answers: Mapping[Probe, Sequence[int]]) -> list[str]:
    """The endpoints that were not there: nobody watched over that component."""
    missing = [probe for probe, statuses in answers.items() if list(statuses).count(HTTPStatus.OK) < _LEAST_ANSWERS]
    problems = [f"{probe.component}: {probe.path} answered {answers[probe]} to its probes" for probe in missing]
    return some(problems) if answers else ["nothing was probed"]
