# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What schedulers list before they act, and the one status without an event, in the installed release."""

import importlib
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.context_store import ContextStore
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_SESSION_NEXT_STATUS, SESSION_KEY_PREFIX
from otel_backendai.releases import session_statuses
from tests.conftest import Telemetry
from tests.releases.bus import FAMILY

# From 26.1 on a tick's recorders name its sessions.
REPOSITORY = pytest.mark.releases(since="25.15", before="26.1")


class Asked:
    """A client of Redis that finds nothing, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def get(self, key: str) -> None:
        self.keys.append(key.removeprefix(SESSION_KEY_PREFIX))

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def asked(telemetry: Telemetry) -> Asked:
    """A manager that knows no session, and whose Redis knows none either."""
    client = Asked()
    deferred.sessions.store = ContextStore(lambda: client)
    return client


def of(asked: Asked) -> list[str]:
    """What was asked for, once everything that was ordered is done."""
    store = deferred.sessions.store
    assert store is not None
    done: list[object] = []
    store.read("last", done.append)
    deadline = time.monotonic() + 10
    while not done:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return [key for key in asked.keys if key != "last"]


@pytest.mark.releases(before="26.2")
async def test_a_dispatcher_asks_for_what_is_on_its_way(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions that wait or are being prepared, and not the many that run or are gone."""
    if FAMILY < (25, 12):
        where = importlib.import_module("ai.backend.manager.scheduler.dispatcher")
        lister: Any = where
    else:
        where = importlib.import_module("ai.backend.manager.repositories.schedule.repository")
        lister = object.__new__(where.ScheduleRepository)
    status = importlib.import_module("ai.backend.manager.models.session").SessionStatus
    rows = {
        name: SimpleNamespace(id=uuid.uuid4(), status=status[name], created_at=datetime.now(UTC))
        for name in ("PENDING", "SCHEDULED", "PREPARING", "RUNNING", "ERROR")
    }

    async def listed(*_: Any) -> Any:
        return list(rows.values())

    monkeypatch.setattr(where.SessionRow, "get_sgroup_managed_sessions", listed)
    await lister._list_managed_sessions(None, "default", timedelta(0))
    assert sorted(of(asked)) == sorted(str(rows[name].id) for name in ("PENDING", "SCHEDULED", "PREPARING"))


@REPOSITORY
async def test_a_repository_asks_for_what_it_lists(asked: Asked) -> None:
    """By the lists that the scheduler of 25.15 takes its sessions from."""
    # The manager's modules import each other in a circle, which must be entered here.
    importlib.import_module("ai.backend.manager.sokovan.scheduler.scheduler")
    cls = importlib.import_module("ai.backend.manager.repositories.scheduler.repository").SchedulerRepository
    sessions = [SimpleNamespace(session_id=uuid.uuid4()) for _ in range(2)]

    async def listed(*_: Any) -> Any:
        return sessions

    repository: Any = object.__new__(cls)
    repository._db_source = SimpleNamespace(get_sessions_for_transition=listed, get_terminating_sessions=listed)
    await repository.get_sessions_for_transition([], [])
    await repository.get_terminating_sessions()
    assert of(asked) == [str(one.session_id) for one in sessions]


@pytest.mark.releases(before="26")
async def test_pulling_is_a_status(telemetry: Telemetry) -> None:
    """The manager writes it when an agent pulls; no event of the session tells of it. It lasts until RUNNING."""
    models = importlib.import_module("ai.backend.manager.models.session")
    session = uuid.uuid4()
    with SpanScope(deferred.HOP.tracer, "POST", SpanKind.SERVER, request_id.bind("request-1", Context())):
        session_statuses.created(session)

    @asynccontextmanager
    async def begin_session() -> AsyncIterator[Any]:
        async def execute(_: Any) -> None:
            return None

        yield SimpleNamespace(execute=execute)

    database = SimpleNamespace(begin_session=begin_session)
    await models.SessionRow.set_session_status(database, session, models.SessionStatus.PULLING)
    session_statuses.changed(session, "RUNNING")
    statuses = {span.name: (span.attributes or {}) for span in telemetry.spans if span.name.startswith("session ")}
    assert statuses["session PENDING"][ATTRIBUTE_SESSION_NEXT_STATUS] == "PULLING"
    assert statuses["session PULLING"][ATTRIBUTE_SESSION_NEXT_STATUS] == "RUNNING"
