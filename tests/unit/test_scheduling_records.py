# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the scheduler writes down of a session in each tick: told as it changes, and never a span for every tick."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from otel_backendai.hops import deferred
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_SESSION_REASON
from otel_backendai.releases import scheduling_records, session_statuses
from otel_backendai.releases.dwindling import LIMIT
from tests.conftest import Telemetry
from tests.unit.pending_session import Clock, moved_by_hand, pending

# Seconds between two ticks, and those of a week.
TICK = 60
WEEK = 7 * 86_400


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The clock of everything; what was told before is forgotten."""
    yield from moved_by_hand(monkeypatch, scheduling_records.forget)


def write_down(clock: Clock, session: str, failure: str = "", name: str = "allocate") -> None:
    """A tick that looked at one session: one phase, which failed for a reason if there is one."""
    at = datetime.fromtimestamp(clock.now, UTC)
    status = "failed" if failure else "success"
    phase = SimpleNamespace(name=name, status=status, detail=failure or None, started_at=at, ended_at=at, steps=())
    record: Any = SimpleNamespace(phases=[phase])
    with SpanScope(None, "", SpanKind.INTERNAL, deferred.with_shared_work(Context())):
        recorder = SimpleNamespace(entity_id=session)
        scheduling_records._wrap_build(lambda _: record)(recorder)


def told(telemetry: Telemetry) -> list[ReadableSpan]:
    """The spans of records."""
    return [span for span in telemetry.of_kind(SpanKind.INTERNAL) if span.name.startswith("scheduler ")]


def test_a_week_of_changing_figures_is_bounded(telemetry: Telemetry, clock: Clock) -> None:
    """A reason with a figure in it is another one in every tick; after so many it is told less and less often."""
    session = pending()
    for number in range(WEEK // TICK):
        clock.now += TICK
        write_down(clock, session, f"{number} cores are free")
    spans = told(telemetry)
    assert LIMIT < len(spans) < LIMIT + 16
    assert (spans[-1].attributes or {})[ATTRIBUTE_SESSION_REASON] != f"{LIMIT - 1} cores are free"


def test_the_same_again_is_told_once(telemetry: Telemetry, clock: Clock) -> None:
    """An unchanged reason makes no further spans; ``session waits`` says that it lasts."""
    session = pending()
    for _ in range(100):
        clock.now += TICK
        write_down(clock, session, "no room")
    assert len(told(telemetry)) == 1


def test_what_goes_well_is_told_after_any_wait(telemetry: Telemetry, clock: Clock) -> None:
    """The bound is for failures: that an agent was found in the end is news."""
    session = pending()
    for number in range(1000):
        clock.now += TICK
        write_down(clock, session, f"{number} cores are free")
    before = len(told(telemetry))
    write_down(clock, session)
    write_down(clock, session)
    assert len(told(telemetry)) == before + 1


def test_each_status_and_each_session_has_a_bound_of_its_own(telemetry: Telemetry, clock: Clock) -> None:
    """What fails in a later status is told, whatever was said while the session was pending; so is another's."""
    session, other = pending(), pending()
    for number in range(1000):
        clock.now += TICK
        write_down(clock, session, f"{number} cores are free")
    before = len(told(telemetry))
    session_statuses.changed(session, "SCHEDULED")
    write_down(clock, session, "7 kernels failed", "start")
    write_down(clock, other, "7 cores are free")
    fresh = [span.name for span in told(telemetry)[before:] if span.name != "session PENDING"]
    assert fresh == ["scheduler start", "scheduler allocate"]


def test_nothing_is_told_while_a_session_runs(telemetry: Telemetry, clock: Clock) -> None:
    """A session runs for days, and every tick looks at it."""
    session = pending()
    session_statuses.changed(session, "RUNNING")
    write_down(clock, session, "late")
    assert told(telemetry) == []
