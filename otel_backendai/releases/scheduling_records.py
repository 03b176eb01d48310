# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the scheduler of 26.1 to 26.9 writes down about a session in a tick, as spans of the session's trace.

Its recorders keep phases and steps with their times, results and reasons ("no resources"). A session is looked at by
several of them in every tick: what was said of it before makes no spans again, nor does what is said while it runs.
Reasons may hold figures, which change with every tick: of those there are so many in one status, and then fewer and
fewer.
"""

import functools
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.util.types import AttributeValue

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops import deferred
from otel_backendai.hops.deferred import HOP
from otel_backendai.hops.kept import Kept
from otel_backendai.hops.kept_settings import DEFAULT_LIMIT
from otel_backendai.hops.recent import Recent
from otel_backendai.hops.span_errors import clean_text
from otel_backendai.names import ATTRIBUTE_REQUEST_ID, ATTRIBUTE_SESSION_ID, ATTRIBUTE_SESSION_REASON
from otel_backendai.releases.dwindling import Dwindling

_RECORD = Guard("scheduling records")

# What was said of which session; some ten things are said of one on its way.
_told: Recent[tuple[object, ...], bool] = Recent(10 * DEFAULT_LIMIT)
_failures = Dwindling()
_RUNNING = "RUNNING"


@HOP.wraps("ai.backend.manager.sokovan.recorder.pool", "RecordPool.__init__")
def _wrap_pool(original: Callable[..., None]) -> Callable[..., None]:
    # The first that a manager sees of a session which another one made: asked for before it is acted on.
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # the target's name
        original(self, *args, **kwargs)
        if HOP.active and deferred.is_shared(context_api.get_current()):
            with _RECORD:
                for session in self._recorders:
                    deferred.sessions.find(str(session))

    return __init__


@HOP.wraps("ai.backend.manager.sokovan.recorder.recorder", "TransitionRecorder.build_execution_record")
def _wrap_build(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def build_execution_record(self: Any, *args: Any, **kwargs: Any) -> Any:
        record = original(self, *args, **kwargs)
        if HOP.active and deferred.is_shared(context_api.get_current()):
            with _RECORD:
                _tell(str(self.entity_id), record)
        return record

    return build_execution_record


def forget() -> None:
    """Tell everything anew."""
    _told.clear()
    _failures.clear()


def _tell(session: str, record: Any) -> None:
    parts = [part for phase in record.phases for part in (phase, *phase.steps)]
    if not parts:
        return
    said = (session, *((part.name, part.detail if _failed(part) else "") for part in parts))
    if not _told.get(said):
        is_failure = any(map(_failed, parts))
        found = functools.partial(_tell_found, session, record, said, is_failure, time.time())
        deferred.sessions.when_found(session, found)


def _failed(part: Any) -> bool:
    return str(part.status) == "failed"


def _tell_found(session: str, record: Any, said: tuple[object, ...], is_failure: bool, now: float, kept: Kept) -> None:
    # What waits for the store's answer was perhaps said more than once.
    if (
        kept.status == _RUNNING
        or _told.get(said)
        or (is_failure and not _failures.is_due(session, kept.since or kept.at, now))
    ):
        return
    # Not before: what is not told must not push out what was.
    _told.put(said, True)
    _spans(session, record, kept)


def _spans(session: str, record: Any, kept: Kept) -> None:
    context, links = deferred.context_of(kept)
    attributes: dict[str, AttributeValue] = {ATTRIBUTE_SESSION_ID: session}
    request = request_id.read(context)
    if request is not None:
        attributes[ATTRIBUTE_REQUEST_ID] = request
    for phase in record.phases:
        span = _span(phase, context, attributes, links)
        for step in phase.steps:
            _span(step, set_span_in_context(span, context), attributes, []).end(_nanoseconds(step.ended_at))
        span.end(_nanoseconds(phase.ended_at))


def _span(part: Any, context: Context, attributes: dict[str, AttributeValue], links: list[Link]) -> Span:
    more = dict(attributes)
    if part.detail:
        more[ATTRIBUTE_SESSION_REASON] = clean_text(str(part.detail))
    name = f"scheduler {clean_text(str(part.name))}"
    span = HOP.tracer.start_span(name, context, SpanKind.INTERNAL, more, links, _nanoseconds(part.started_at))
    if _failed(part):
        span.set_status(Status(StatusCode.ERROR, clean_text(str(part.detail or ""))))
    return span


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1e9)
