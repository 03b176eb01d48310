# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Whose context something runs in that is about a session: the session's own, unless a request acts on it."""

import time
import uuid
from types import SimpleNamespace

import fakeredis
import pytest
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.api import bind_request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.background import run_scope
from otel_backendai.hops.context_store import ContextStore, Found
from otel_backendai.hops.event_spans import producer_scope
from otel_backendai.hops.kept_contexts import KeptContexts
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import (
    ATTRIBUTE_REQUEST_ID,
    ATTRIBUTE_SESSION_ID,
    ATTRIBUTE_SESSION_STATUS,
    SESSION_CHANNEL,
    SESSION_KEY_PREFIX,
)
from otel_backendai.propagators.kept_value import render_kept_value
from otel_backendai.releases import session_statuses
from tests.conftest import Telemetry


def created(request: str) -> str:
    """The ID of a session that a request made."""
    session = str(uuid.uuid4())
    with SpanScope(deferred.HOP.tracer, "POST /session", SpanKind.SERVER, request_id.bind(request, Context())):
        session_statuses.created(session)
    return session


def about(session: str) -> dict[str, str]:
    """What an event or a call about it names."""
    return {ATTRIBUTE_SESSION_ID: session}


def test_a_tick_for_ten_sessions_is_ten_traces(telemetry: Telemetry) -> None:
    """What one tick does for ten sessions is in ten traces, under ten request IDs; the tick itself makes no span."""
    made = {f"request-{number}": created(f"request-{number}") for number in range(10)}
    with run_scope("tick", Context(), quiet=True):
        for session in made.values():
            with producer_scope("session_started", entities=about(session)):
                pass
    requests = {span.attributes[ATTRIBUTE_REQUEST_ID]: span for span in telemetry.of_kind(SpanKind.SERVER)}  # type: ignore[index]
    sent = telemetry.of_kind(SpanKind.PRODUCER)
    assert {span.attributes[ATTRIBUTE_SESSION_ID]: span.attributes[ATTRIBUTE_REQUEST_ID] for span in sent} == {  # type: ignore[index]
        session: request for request, session in made.items()
    }
    for span in sent:
        request = requests[span.attributes[ATTRIBUTE_REQUEST_ID]]  # type: ignore[index]
        assert span.parent is not None
        assert (span.parent.trace_id, span.parent.span_id) == (request.context.trace_id, request.context.span_id)
    assert [span.name for span in telemetry.of_kind(SpanKind.INTERNAL)] == []


def test_a_request_that_acts_on_a_session_is_its_own(telemetry: Telemetry) -> None:
    """`execute` on a session belongs to who asked for it, not to who made the session."""
    session = created("request-1")
    with bind_request_id("request-2"), producer_scope("execution_started", entities=about(session)):
        pass
    assert telemetry.only(SpanKind.PRODUCER).attributes[ATTRIBUTE_REQUEST_ID] == "request-2"  # type: ignore[index]


def test_work_for_anyone_in_a_requests_context(telemetry: Telemetry) -> None:
    """23.09 schedules whatever is pending in the context of the request that came last: the others keep theirs."""
    session = created("request-1")
    with (
        bind_request_id("request-2"),
        SpanScope(None, "", SpanKind.INTERNAL, deferred.with_shared_work(context_api.get_current())),
        deferred.session_scope("start session", session),
    ):
        # Below it is the session's own work, not for anyone any more.
        assert not deferred.is_anyones(context_api.get_current())
    span = telemetry.only(SpanKind.INTERNAL)
    assert (span.name, span.attributes[ATTRIBUTE_REQUEST_ID]) == ("start session", "request-1")  # type: ignore[index]


def test_an_unknown_session_changes_nothing(telemetry: Telemetry) -> None:
    """Without a context to continue, work stays where it is, and there is no span for its sake."""
    with bind_request_id("request-2"), deferred.session_scope("start session", str(uuid.uuid4())):
        assert request_id.read() == "request-2"
    assert telemetry.spans == ()


def test_late_work_is_a_linked_root(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes an hour after the request does not stretch its trace; the ID stays."""
    session = created("request-1")
    monkeypatch.setattr(deferred, "MAX_AGE_OF_CHILD", -1.0)
    with run_scope("tick", Context(), quiet=True), producer_scope("session_started", entities=about(session)):
        pass
    span, request = telemetry.only(SpanKind.PRODUCER), telemetry.only(SpanKind.SERVER)
    assert span.parent is None
    assert [link.context.span_id for link in span.links] == [request.context.span_id]
    assert span.attributes[ATTRIBUTE_REQUEST_ID] == "request-1"  # type: ignore[index]


def test_the_table_is_bounded(telemetry: Telemetry) -> None:
    """What was unused for the longest time is forgotten."""
    known = KeptContexts(SESSION_KEY_PREFIX, 2, 60)
    context = request_id.bind("request-1", Context())
    for session in ("a", "b"):
        known.remember(session, context)
    assert known.find("a") is not None
    known.remember("c", context)
    assert [known.find(session) is not None for session in "abc"] == [True, False, True]


def test_another_process_reads_it_once(telemetry: Telemetry) -> None:
    """A manager that did not see the request finds its context in Redis, and asks once, however often it acts."""
    server = fakeredis.FakeServer()
    orders: list[str] = []

    class Counted(ContextStore):
        def read(self, key: str, found: Found) -> bool:
            orders.append(key)
            return super().read(key, found)

    def process() -> KeptContexts:
        known = KeptContexts(SESSION_KEY_PREFIX, 100, 60)
        known.store = Counted(lambda: fakeredis.FakeRedis(server=server))
        return known

    one, other = process(), process()
    one.remember("a", request_id.bind("request-1", Context()))
    deadline = time.monotonic() + 10
    while not fakeredis.FakeRedis(server=server).keys("*"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    while other.find("a") is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kept = other.find("a")
    assert kept is not None
    assert request_id.read(kept.context) == "request-1"
    assert len(orders) == 1


def test_a_manager_that_came_later(telemetry: Telemetry) -> None:
    """It does not know since when a session was in its status, but since when it is on its way."""
    session = str(uuid.uuid4())
    with SpanScope(deferred.HOP.tracer, "POST", SpanKind.SERVER, request_id.bind("request-1", Context())):
        deferred.remember(session)
    with run_scope("tick", Context(), quiet=True):
        session_statuses.changed(session, "PREPARING")
        session_statuses.changed(session, "RUNNING")
    assert [span.name for span in telemetry.of_kind(SpanKind.INTERNAL)] == [
        "session before PREPARING",
        "session PREPARING",
    ]


def test_switched_off(telemetry: Telemetry) -> None:
    """Without the hop nothing is kept."""
    deferred.HOP.uninstall()
    session = created("request-1")
    assert deferred.sessions.find(session) is None


def test_the_later_request_is_heard_of(telemetry: Telemetry) -> None:
    """A scheduler in another process than the one that was asked to end a session ends it for who asked."""
    created, ended = (request_id.bind(name, Context()) for name in ("create", "destroy"))
    deferred.sessions.remember("a", created, "RUNNING")
    now = time.time()
    for context, at in ((ended, now + 1), (created, now - 1), (created, now + 0.5)):
        deferred.sessions.hear(f"a {render_kept_value(context, at, 'TERMINATING')}".encode())
        kept = deferred.sessions.known("a")
        assert kept is not None
        assert request_id.read(kept.context) == "destroy"
        assert kept.status == "TERMINATING"


def test_a_status_that_one_process_alone_has_seen(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no event tells all managers, who changed it tells them: another one then ends the right status."""
    told: list[str] = []

    class Told(ContextStore):
        def tell(self, channel: str, text: str) -> None:
            assert channel == SESSION_CHANNEL
            told.append(text)

    def process() -> KeptContexts:
        known = KeptContexts(SESSION_KEY_PREFIX, 100, 60, SESSION_CHANNEL)
        known.store = Told(lambda: fakeredis.FakeRedis(server=server))
        return known

    def changes(known: KeptContexts, name: str) -> None:
        monkeypatch.setattr(deferred, "sessions", known)
        with run_scope("tick", Context(), quiet=True):
            session_statuses.sent(name, SimpleNamespace(session_id=session))

    server = fakeredis.FakeServer()
    one, other = process(), process()
    monkeypatch.setattr(deferred, "sessions", one)
    session = created("request-1")
    other.hear(told[0].encode())
    changes(one, "session_scheduled")
    monkeypatch.setattr(deferred, "sessions", other)
    session_statuses.arrived("session_scheduled", SimpleNamespace(session_id=session))
    changes(one, "session_preparing")
    assert len(told) == 2
    # The second time it is old: nothing goes back.
    for message in (told[1], told[0], told[1]):
        other.hear(message.encode())
    changes(other, "session_started")
    statuses = [span for span in telemetry.of_kind(SpanKind.INTERNAL) if ATTRIBUTE_SESSION_STATUS in span.attributes]  # type: ignore[operator]
    assert [span.name for span in statuses] == ["session PENDING", "session SCHEDULED", "session PREPARING"]
    assert {span.attributes[ATTRIBUTE_REQUEST_ID] for span in statuses} == {"request-1"}  # type: ignore[index]


def test_a_status_is_believed_while_it_is_told(telemetry: Telemetry) -> None:
    """What is read in the store has been true once; since when the thing is in another status nobody has written."""
    context = request_id.bind("create", Context())
    value = render_kept_value(context, time.time(), "PENDING")
    assert deferred.sessions.learn("read", value) is not None
    deferred.sessions.hear(f"told {value}".encode())
    statuses = [kept.status for name in ("read", "told") if (kept := deferred.sessions.known(name)) is not None]
    assert statuses == [None, "PENDING"]


@pytest.mark.parametrize("message", [None, 5, b"", b"a", b"a {}", b"a b c", b"\xff {}", b"../x {}"])
def test_what_is_told_about_sessions_is_checked(message: object, telemetry: Telemetry) -> None:
    """Anyone who may write to Redis may have told it."""
    deferred.sessions.hear(message)
    assert deferred.sessions.known("a") is None


def test_a_forced_end_is_the_requests_that_forced_it(telemetry: Telemetry) -> None:
    """26.4 and later tell of TERMINATED only; what is cleaned up after it is not the creation's."""
    deferred.sessions.remember("a", request_id.bind("create", Context()), "PREPARING")
    with bind_request_id("destroy"):
        session_statuses.changed("a", "TERMINATED")
    kept = deferred.sessions.known("a")
    assert kept is not None
    assert request_id.read(kept.context) == "destroy"
    (span,) = telemetry.spans
    assert (span.name, (span.attributes or {})[ATTRIBUTE_REQUEST_ID]) == ("session PREPARING", "create")


def test_what_follows_a_restart_is_the_restarting_requests(telemetry: Telemetry) -> None:
    """A request takes the session over with a restart as with its end; a tick, and who only tells of it, does not."""
    deferred.sessions.remember("a", request_id.bind("create", Context()), "RUNNING")
    with bind_request_id("tell"):
        session_statuses.changed("a", "CREATING", is_asked=False)
        session_statuses.changed("a", "RUNNING")
    owners = [deferred.sessions.known("a")]
    with bind_request_id("restart"):
        session_statuses.changed("a", "RESTARTING")
    owners.append(deferred.sessions.known("a"))
    with run_scope("tick", Context(), quiet=True):
        session_statuses.changed("a", "RUNNING")
    assert [kept and request_id.read(kept.context) for kept in owners] == ["create", "restart"]
    assert [(span.name, (span.attributes or {})[ATTRIBUTE_REQUEST_ID]) for span in telemetry.spans] == [
        ("session CREATING", "create"),
        ("session RESTARTING", "restart"),
    ]
