# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Model services of 23.09 to 25.12, whose scheduler compares all endpoints with their routes in one run.

It writes a row for each replica and sends an event that names nothing but this row. The endpoint's request is
therefore taken over by the row's ID when the row is made, and by the sessions that are ended.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry import context as context_api

from otel_backendai.guard import Guard
from otel_backendai.hops import deferred
from otel_backendai.hops.deferred import HOP
from otel_backendai.hops.recent import Recent
from otel_backendai.releases.arguments import Argument
from otel_backendai.releases.endpoint_owner import changed, take_over
from otel_backendai.releases.entities import entity_text

Coroutine = Callable[..., Awaitable[Any]]

# By the modules that use these rows: later releases have the rows, too, and another way to work with them.
_API = "ai.backend.manager.api.service"
_DISPATCHER = "ai.backend.manager.scheduler.dispatcher"
# Where 25.12 reads and writes the rows, and those later ones that are told to schedule as it does.
_SCHEDULES = "ai.backend.manager.repositories.schedule.repository"

_KEEP = Guard("model services: keep")

# The endpoint of each session that a scheduler's run has seen, and how many of them.
MAX_SESSIONS = 10_000
_endpoints: Recent[str, str] = Recent(MAX_SESSIONS)


@HOP.wraps(_API, "EndpointRow.__init__")
def _wrap_endpoint(original: Callable[..., None]) -> Callable[..., Any]:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # the target's name
        original(self, *args, **kwargs)
        if HOP.active:
            with _KEEP:
                changed(self.id)

    return __init__


@HOP.wraps(_API, "delete")
@HOP.wraps(_API, "delete_route")
@HOP.wraps(_API, "scale")
@HOP.wraps(_API, "clear_error")
def _wrap_handler(original: Coroutine) -> Coroutine:
    @functools.wraps(original)
    async def handle(request: Any, *args: Any, **kwargs: Any) -> Any:
        if HOP.active:
            with _KEEP:
                changed(request.match_info["service_id"])
        return await original(request, *args, **kwargs)

    return handle


@HOP.wraps(_DISPATCHER, "RoutingRow.__init__")
def _wrap_route(original: Callable[..., None]) -> Callable[..., Any]:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # the target's name
        original(self, *args, **kwargs)
        if HOP.active and deferred.is_shared(context_api.get_current()):
            with _KEEP:
                take_over(self.id, self.endpoint)

    return __init__


@HOP.wraps(_SCHEDULES, "ScheduleRepository.create_routing_rows")
def _wrap_create_rows(original: Coroutine) -> Coroutine:
    wanted = Argument(original, 1)

    @functools.wraps(original)
    async def create(*args: Any, **kwargs: Any) -> Any:
        routes = await original(*args, **kwargs)
        if HOP.active:
            with _KEEP:
                endpoints = (endpoint.id for endpoint, count in wanted.of(args, kwargs) for _ in range(count))
                for route, endpoint in zip(routes, endpoints, strict=True):
                    take_over(route, endpoint)
        return routes

    return create


@HOP.wraps(_DISPATCHER, "EndpointRow.list")
@HOP.wraps(_SCHEDULES, "EndpointRow.list")
def _wrap_list(original: Coroutine) -> Coroutine:
    @functools.wraps(original)
    async def list_endpoints(cls: Any, *args: Any, **kwargs: Any) -> Any:
        endpoints = await original(cls, *args, **kwargs)
        if HOP.active and kwargs.get("load_routes") and deferred.is_shared(context_api.get_current()):
            with _KEEP:
                for endpoint in endpoints:
                    _see(endpoint)
        return endpoints

    return list_endpoints


def _see(endpoint: Any) -> None:
    text = entity_text(endpoint.id)
    if text is None or len(endpoint.routings) == endpoint.desired_session_count:
        return
    # Asked for now, so that the answer is there when the scheduler acts.
    deferred.sessions.find(text)
    for route in endpoint.routings:
        session = entity_text(route.session)
        if session is not None:
            _endpoints.put(session, text)


def wrap_destroy_session(original: Coroutine) -> Coroutine:
    """A replica that the scheduler ends belongs to who changed its endpoint last; around the registry's method."""

    @functools.wraps(original)
    async def destroy(self: Any, session: Any, *args: Any, **kwargs: Any) -> Any:
        if HOP.active and deferred.is_shared(context_api.get_current()):
            with _KEEP:
                identifier = entity_text(session.id)
                if identifier is not None:
                    take_over(identifier, _endpoints.get(identifier))
        return await original(self, session, *args, **kwargs)

    return destroy
