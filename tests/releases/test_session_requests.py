# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What a request to make or end a session does before the scheduler, in the installed release."""

import importlib
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from otel_backendai import request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_REQUEST_ID
from tests.conftest import Telemetry

Handler = Callable[[Any], Awaitable[Any]]

OLDER = pytest.mark.releases(before="26")


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


@OLDER
def test_the_middleware_stays_one(telemetry: Telemetry) -> None:
    """aiohttp tells a middleware of the present kind from an ancient one by a mark."""
    module = importlib.import_module("ai.backend.manager.api.auth")
    assert module.auth_middleware.__middleware_version__ == 1
