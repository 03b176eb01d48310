# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What schedulers say of sessions that they leave pending: told as it changes, then less and less often."""

import enum
import itertools
import uuid
from collections.abc import Iterator

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.background import run_scope
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import (
    ATTRIBUTE_REQUEST_ID,
    ATTRIBUTE_SESSION_ID,
    ATTRIBUTE_SESSION_NEXT_STATUS,
    ATTRIBUTE_SESSION_REASON,
    ATTRIBUTE_SESSION_STATUS,
)
from otel_backendai.releases import session_statuses, session_waits
from otel_backendai.releases.dwindling import LIMIT
from tests.conftest import Telemetry
from tests.unit.pending_session import Clock, moved_by_hand, pending


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The clock of everything; what was told before is forgotten."""
    yield from moved_by_hand(monkeypatch, session_waits.forget)


def told(telemetry: Telemetry) -> list[ReadableSpan]:
    """The spans about waiting."""
    return [span for span in telemetry.of_kind(SpanKind.INTERNAL) if span.name == session_waits.NAME]


def test_a_reason_is_a_span_of_the_request(telemetry: Telemetry, clock: Clock) -> None:
    """It says which session waits in which status, why and since when; no next status, for there is none."""
    session = pending()
    clock.now += 2
    session_waits.waits(session, "no room")
    (span,) = told(telemetry)
    request = telemetry.only(SpanKind.SERVER)
    assert span.parent is not None
    assert span.parent.span_id == request.context.span_id
    assert (span.end_time or 0) - (span.start_time or 0) == 2 * 10**9
    assert span.attributes == {
        ATTRIBUTE_SESSION_ID: session,
        ATTRIBUTE_SESSION_STATUS: "PENDING",
        ATTRIBUTE_SESSION_REASON: "no room",
        ATTRIBUTE_REQUEST_ID: "request-1",
    }
    assert ATTRIBUTE_SESSION_NEXT_STATUS not in span.attributes


def test_a_day_of_ticks_is_a_dozen_spans(telemetry: Telemetry, clock: Clock) -> None:
    """The same reason is told again only when the session has waited twice as long; the spans are one after another."""
    session = pending()
    for _ in range(24 * 360):
        clock.now += 10
        session_waits.waits(session, "no room")
    spans = told(telemetry)
    assert 10 <= len(spans) <= 13
    # A linked root after an hour, and still where the last one ended.
    assert all(one.end_time == other.start_time for one, other in itertools.pairwise(spans))


def test_another_reason_is_told_at_once(telemetry: Telemetry, clock: Clock) -> None:
    """What the scheduler says anew is news; two reasons in turn are not."""
    session = pending()
    for reason in ("no room", "no room", "depends on another", "no room", "depends on another"):
        clock.now += 1
        session_waits.waits(session, reason)
    reasons = [(span.attributes or {})[ATTRIBUTE_SESSION_REASON] for span in told(telemetry)]
    assert reasons == ["no room", "depends on another"]


def test_reasons_that_change_for_ever_are_bounded(telemetry: Telemetry, clock: Clock) -> None:
    """A reason with a figure in it is another one in every tick; after so many it is told like an old one."""
    session = pending()
    for number in range(1000):
        clock.now += 1
        session_waits.waits(session, f"{number} are before it")
    spans = told(telemetry)
    assert LIMIT < len(spans) < LIMIT + 6
    assert (spans[-1].attributes or {})[ATTRIBUTE_SESSION_REASON] != f"{LIMIT - 1} are before it"


def test_each_stay_is_told_anew(telemetry: Telemetry, clock: Clock) -> None:
    """A session that got on and came back waits since then."""
    session = pending()
    clock.now += 1
    session_waits.waits(session, "no room")
    clock.now += 1
    session_statuses.changed(session, "SCHEDULED")
    clock.now += 1
    session_waits.waits(session, "too late")
    session_statuses.changed(session, "PENDING")
    clock.now += 5
    session_waits.waits(session, "no room")
    assert [(span.end_time or 0) - (span.start_time or 0) for span in told(telemetry)] == [10**9, 5 * 10**9]


def test_the_time_that_a_later_request_ends(telemetry: Telemetry, clock: Clock) -> None:
    """What a session was in when somebody destroyed it is the creation's; what comes then is the destroyer's."""
    session = pending()
    session_statuses.changed(session, "CREATING")
    clock.now += 50
    with SpanScope(deferred.HOP.tracer, "DELETE", SpanKind.SERVER, request_id.bind("request-2", Context())):
        session_statuses.changed(session, "TERMINATING")
    clock.now += 1
    with run_scope("tick", Context(), quiet=True):
        session_statuses.changed(session, "TERMINATED")
    spans = {span.name: (span.attributes or {})[ATTRIBUTE_REQUEST_ID] for span in telemetry.of_kind(SpanKind.INTERNAL)}
    assert (spans["session CREATING"], spans["session TERMINATING"]) == ("request-1", "request-2")


class Reason(str, enum.Enum):  # noqa: UP042  # as 23.09 has it: an enum.StrEnum is its value in every way
    """Why a session ended."""

    USER_REQUESTED = "user-requested"


def test_an_enumerated_reason_is_its_text(telemetry: Telemetry, clock: Clock) -> None:
    """What a release wrote down is told, not the name that its program has for it."""
    session = pending()
    session_statuses.changed(session, "CANCELLED", Reason.USER_REQUESTED)
    (span,) = telemetry.of_kind(SpanKind.INTERNAL)
    assert (span.attributes or {})[ATTRIBUTE_SESSION_REASON] == "user-requested"


def test_a_session_that_only_its_end_makes_known(telemetry: Telemetry, clock: Clock) -> None:
    """A manager that never heard of it, and has no store to ask, follows it from the request that ends it."""
    session = str(uuid.uuid4())
    with SpanScope(deferred.HOP.tracer, "DELETE", SpanKind.SERVER, request_id.bind("request-2", Context())):
        session_statuses.changed(session, "TERMINATING")
    clock.now += 1
    with run_scope("tick", Context(), quiet=True):
        session_statuses.changed(session, "TERMINATED")
    names = [span.name for span in telemetry.of_kind(SpanKind.INTERNAL)]
    assert "session TERMINATING" in names


def test_nothing_is_said_of_an_unknown_session(telemetry: Telemetry, clock: Clock) -> None:
    """Whose context is not known waits in nobody's trace; what is no ID is nothing."""
    session_waits.waits(uuid.uuid4(), "no room")
    session_waits.waits(None, "no room")
    session_waits.waits(object(), object())
    assert telemetry.spans == ()


def test_a_refusal_is_no_span(telemetry: Telemetry) -> None:
    """A scope that forgets its span leaves nothing behind, and the caller's exception passes."""

    def refuse() -> None:
        with deferred.session_scope("schedule session", pending()) as scope:
            scope.forget()
            raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        refuse()
    assert [span.name for span in telemetry.spans] == ["POST /session"]
