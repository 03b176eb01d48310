# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the traces of sessions have to show; data in, sentences out, none when all is well."""

from collections.abc import Sequence

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_SESSION_ID, ATTRIBUTE_SESSION_NEXT_STATUS
from tests.realstack.matrix.observation import component_of, request_id_of
from tests.realstack.matrix.sentences import some
from tests.realstack.sessions.coverage import Coverage, coverage
from tests.realstack.sessions.made import Made

# The part of a creation's or an end's time that spans other than the request's own have to cover.
LEAST_SHARE = 0.95

CREATION, END = "RUNNING", "TERMINATED"


def reached(spans: Sequence[Span], one: Made, status: str) -> int:
    """When the session got to ``status``, in nanoseconds: by its status spans, else by the poll that saw it first.

    Whether the spans are right about it, ``status_judging.poll_problems`` says.
    """
    ends = [
        span.end_ns
        for span in spans
        if span.attributes.get(ATTRIBUTE_SESSION_ID) == one.session
        and span.attributes.get(ATTRIBUTE_SESSION_NEXT_STATUS) == status
    ]
    seen_at = one.running_at if status == CREATION else one.terminated_at
    return min(ends, default=int(seen_at * 1e9))


def figures_of(spans: Sequence[Span], one: Made, status: str, *, killed: bool = False) -> Coverage | None:
    """The figures of its creation (``RUNNING``) or of its end (``TERMINATED``); ``None`` without a trace.

    Args:
        spans: All that is known.
        one: The session.
        status: Where it ends.
        killed: Whether the manager was killed during its creation, and the request's own span is lost.
    """
    request = one.created if status == CREATION else one.destroyed
    start = int(one.posted_at * 1e9) if killed and status == CREATION else None
    return coverage(spans, request, reached(spans, one, status), start)


def restart_figures(spans: Sequence[Span], one: Made) -> Coverage | None:
    """The figures of its restart, until it was RUNNING again; ``None`` without a trace, or without that status."""
    own = [span for span in spans if request_id_of(span) == one.restarted]
    ends = [span.end_ns for span in own if span.attributes.get(ATTRIBUTE_SESSION_NEXT_STATUS) == CREATION]
    return coverage(spans, one.restarted, max(ends)) if ends else None


def told_end(spans: Sequence[Span], one: Made) -> bool:
    """Whether its last status is in the trace of who ended it; of a batch job, of who made it."""
    return any(
        request_id_of(span) == (one.destroyed or one.created)
        and span.attributes.get(ATTRIBUTE_SESSION_ID) == one.session
        and span.attributes.get(ATTRIBUTE_SESSION_NEXT_STATUS) == END
        for span in spans
    )


def trace_problems(figures: Coverage | None, status: str, components: Sequence[str], lost: float = 0.0) -> list[str]:
    """What is wrong with the trace of a creation or an end.

    Args:
        figures: Those of :func:`figures_of`.
        status: Where it ends.
        components: Which have to be in it.
        lost: Seconds of spans that a killed process may have taken with it.
    """
    if figures is None:
        return [f"no trace until {status}"]
    problems = []
    if figures.traces != 1:
        problems.append(f"{figures.traces} traces until {status}")
    if (1 - figures.share) * figures.seconds > (1 - LEAST_SHARE) * figures.seconds + lost:
        problems.append(f"{figures.share:.1%} covered until {status}")
    missing = [name for name in components if name not in figures.components]
    return problems + ([f"no span of {', '.join(missing)} until {status}"] if missing else [])


def strange_spans(spans: Sequence[Span], made: Sequence[Made]) -> list[str]:
    """Spans of one session's requests that are about another one, or in a trace of another one's requests.

    What was done for several of them at once is nobody's: it is under none of their request IDs.
    """
    owners = {request: one for one in made for request in one.requests}
    by_name = {name: one for one in made for name in (one.session, *one.names)}
    home: dict[str, str] = {}
    problems = []
    for span in spans:
        request = request_id_of(span)
        about = {by_name[value].session for value in map(str, span.attributes.values()) if value in by_name}
        if request not in owners:
            problems += [f"{_said(span)} is about {name} without its request ID" for name in about]
            continue
        problems += [
            f"{_said(span)} is about {name} under a request of {owners[request].session}"
            for name in about - {owners[request].session}
        ]
        if home.setdefault(span.trace_id, request) != request:
            problems.append(f"{_said(span)} is in a trace of another request")
    return some(problems)


def _said(span: Span) -> str:
    return f"{component_of(span)}: {span.kind} {span.name}"
