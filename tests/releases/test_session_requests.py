# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What a request to make or end a session does before the scheduler, in the installed release."""

import importlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from otel_backendai import request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.background import run_scope
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_REQUEST_ID
from otel_backendai.releases import session_statuses
from tests.conftest import Telemetry

Handler = Callable[[Any], Awaitable[Any]]

OLDER = pytest.mark.releases(before="26")
RESTARTS = pytest.mark.releases(before="26.4")


class Request(dict[str, Any]):
    """As much of a request as the released middleware asks for: one to a handler that needs no authentication."""

    def __init__(self) -> None:
        super().__init__()
        self.path = "/session"
        self.app = {"_root.context": SimpleNamespace(), "auth_middleware_allowlist": [self.path]}
        self.match_info = SimpleNamespace(handler=SimpleNamespace())


async def authenticated(handler: Handler) -> None:
    """A request, through the released middleware, to ``handler``."""
    middleware = importlib.import_module("ai.backend.manager.api.auth").auth_middleware
    with SpanScope(deferred.HOP.tracer, "DELETE", SpanKind.SERVER, request_id.bind("request-1", Context())):
        await middleware(Request(), handler)


def registry() -> Any:
    """A registry whose first step fails, as a plugin's hook may."""
    made: Any = object.__new__(importlib.import_module("ai.backend.manager.registry").AgentRegistry)

    async def dispatch(*args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("refused by a hook")

    made.hook_plugin_ctx = SimpleNamespace(dispatch=dispatch)
    return made


@OLDER
async def test_the_way_to_the_registry(telemetry: Telemetry) -> None:
    """Authentication, preparation and the end itself are spans below the request's, in this order; errors pass."""

    async def destroy(request: Any) -> None:
        with pytest.raises(ConnectionError):
            await registry().destroy_session(SimpleNamespace(id="s", name="n", access_key="k"), reason="r")

    await authenticated(destroy)
    (server,) = telemetry.of_kind(SpanKind.SERVER)
    spans = sorted(telemetry.of_kind(SpanKind.INTERNAL), key=lambda span: span.start_time or 0)
    assert [span.name for span in spans] == ["authenticate", "prepare to destroy session", "destroy session"]
    for span in spans:
        assert span.parent is not None
        assert span.parent.span_id == server.context.span_id
        assert (span.attributes or {})[ATTRIBUTE_REQUEST_ID] == "request-1"
    assert spans[0].end_time == spans[1].start_time
    assert spans[2].status.status_code is StatusCode.ERROR


@OLDER
async def test_other_requests_cost_nothing(telemetry: Telemetry) -> None:
    """A request that comes to no registry has no span but its own, and what one noted is not another's."""

    async def list_sessions(request: Any) -> None:
        return None

    await authenticated(list_sessions)
    with pytest.raises(ConnectionError):
        await registry().destroy_session(SimpleNamespace(id="s", name="n", access_key="k"), reason="r")
    assert [span.name for span in telemetry.of_kind(SpanKind.INTERNAL)] == ["destroy session"]


@RESTARTS
async def test_what_follows_a_restart_is_the_restarting_requests(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is taken over by it; the time of the restart is a status of its trace, and its RUNNING is none."""
    module = importlib.import_module("ai.backend.manager.registry")
    session = SimpleNamespace(id=uuid.uuid4(), creation_id="c", kernels=[], session_type="")
    sent: list[Any] = []

    async def nothing(*_: Any, **__: Any) -> None:
        return None

    async def produce(event: Any, *_: Any) -> None:
        sent.append(event)
        session_statuses.sent("session_started", event)

    made: Any = object.__new__(module.AgentRegistry)
    made.db = None
    made.event_producer = SimpleNamespace(
        produce_event=produce, anycast_event=produce, anycast_and_broadcast_event=produce
    )
    monkeypatch.setattr(module, "execute_with_retry", nothing)
    monkeypatch.setattr(module, "handle_session_exception", nothing_around)
    monkeypatch.setattr(module.SessionRow, "set_session_status", nothing)
    with request("request-1"):
        session_statuses.created(session.id)
    with run_scope("tick", Context(), quiet=True):
        session_statuses.changed(session.id, "RUNNING")
    telemetry.exporter.clear()
    with request("request-2"):
        await made.restart_session(session)
    assert len(sent) == 1
    status, restart = telemetry.of_kind(SpanKind.INTERNAL)
    assert (status.name, restart.name) == ("session RESTARTING", "restart session")
    assert status.parent is not None
    assert status.parent.span_id == restart.context.span_id
    kept = deferred.sessions.find(str(session.id))
    assert kept is not None
    assert (request_id.read(kept.context), kept.status) == ("request-2", "RUNNING")


@asynccontextmanager
async def nothing_around(*_: Any, **__: Any) -> AsyncIterator[None]:
    """In the place of what writes an error into the database."""
    yield


def request(name: str) -> SpanScope:
    """What a request to the manager runs in."""
    return SpanScope(deferred.HOP.tracer, "PATCH /session", SpanKind.SERVER, request_id.bind(name, Context()))


@OLDER
def test_the_middleware_stays_one(telemetry: Telemetry) -> None:
    """aiohttp tells a middleware of the present kind from an ancient one by a mark."""
    module = importlib.import_module("ai.backend.manager.api.auth")
    assert module.auth_middleware.__middleware_version__ == 1
