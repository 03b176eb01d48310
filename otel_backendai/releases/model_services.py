# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Model services: the replicas that a controller makes and ends later belong to the request that wanted them.

A request changes an endpoint (a deployment, from 26.4 on), and a timer compares what is wanted with what is there. Who
makes a replica of that endpoint continues the request, and so does the end of one that a later request does not want
any more. When the autoscaler decides, there is no request: its decision is a root of its own, which the replicas that
come of it continue.
"""

import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context, create_key
from opentelemetry.trace import SpanKind

from otel_backendai.guard import Guard
from otel_backendai.hops import deferred
from otel_backendai.hops.background import function_name, run_scope
from otel_backendai.hops.deferred import HOP
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_ENDPOINT_ID, CODE_FUNCTION_NAME
from otel_backendai.releases.arguments import Argument
from otel_backendai.releases.endpoint_owner import take_over
from otel_backendai.releases.entities import entity_text

Coroutine = Callable[..., Awaitable[Any]]

_DEPLOYMENTS = "ai.backend.manager.sokovan.deployment.coordinator"
_ROUTES = "ai.backend.manager.sokovan.deployment.route.coordinator"
_EXECUTOR = "ai.backend.manager.sokovan.deployment.route.executor"
_REPOSITORY = "ai.backend.manager.repositories.deployment.repository"
_SCHEDULING = "ai.backend.manager.sokovan.scheduling_controller.scheduling_controller"

_KEEP = Guard("model services: keep")
_SCOPE = Guard("model services: scope")

# In 25.15, the endpoint of each route for which sessions are being made.
_ENDPOINTS = create_key("otel-backendai-endpoints-of-routes")


@HOP.wraps(_DEPLOYMENTS, "DeploymentCoordinator.process_deployment_lifecycle")
@HOP.wraps(_ROUTES, "RouteCoordinator.process_route_lifecycle")
def _wrap_shared(original: Coroutine) -> Coroutine:
    @functools.wraps(original)
    async def shared(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not HOP.active:
            return await original(self, *args, **kwargs)
        with SpanScope(None, "", SpanKind.INTERNAL, deferred.with_shared_work(context_api.get_current())):
            return await original(self, *args, **kwargs)

    return shared


@HOP.wraps(_EXECUTOR, "RouteExecutor._provision_route")
def _wrap_provision_route(original: Coroutine) -> Coroutine:
    function = function_name(original)

    @functools.wraps(original)
    async def provision(self: Any, route: Any, *args: Any, **kwargs: Any) -> Any:
        if not HOP.active or getattr(route, "session_id", None) is not None:
            return await original(self, route, *args, **kwargs)
        return await _replica(function, getattr(route, "deployment_id", None), original(self, route, *args, **kwargs))

    return provision


@HOP.wraps(_EXECUTOR, "RouteExecutor.provision_routes")
def _wrap_provision_routes(original: Coroutine) -> Coroutine:
    @functools.wraps(original)
    async def provision(self: Any, routes: Any, *args: Any, **kwargs: Any) -> Any:
        endpoints: dict[object, object] = {}
        if HOP.active:
            with _SCOPE:
                endpoints = {route.route_id: route.endpoint_id for route in routes if hasattr(route, "endpoint_id")}
        if not endpoints:
            return await original(self, routes, *args, **kwargs)
        context = context_api.set_value(_ENDPOINTS, endpoints)
        with SpanScope(None, "", SpanKind.INTERNAL, context):
            return await original(self, routes, *args, **kwargs)

    return provision


@HOP.wraps(_SCHEDULING, "SchedulingController.enqueue_session")
def _wrap_enqueue(original: Coroutine) -> Coroutine:
    function = function_name(original)
    spec = Argument(original, 1)

    @functools.wraps(original)
    async def enqueue(*args: Any, **kwargs: Any) -> Any:
        endpoints = context_api.get_value(_ENDPOINTS)
        if not HOP.active or not isinstance(endpoints, dict):
            return await original(*args, **kwargs)
        endpoint = endpoints.get(getattr(spec.of(args, kwargs), "route_id", None))
        return await _replica(function, endpoint, original(*args, **kwargs))

    return enqueue


@HOP.wraps(_EXECUTOR, "RouteExecutor.terminate_routes")
def _wrap_terminate(original: Coroutine) -> Coroutine:
    @functools.wraps(original)
    async def terminate(self: Any, routes: Any, *args: Any, **kwargs: Any) -> Any:
        if HOP.active:
            with _KEEP:
                _take_over_sessions(routes)
        return await original(self, routes, *args, **kwargs)

    return terminate


def _take_over_sessions(routes: Iterable[Any]) -> None:
    for route in routes:
        take_over(route.session_id, getattr(route, "deployment_id", None) or getattr(route, "endpoint_id", None))


@HOP.wraps(_REPOSITORY, "DeploymentRepository.calculate_desired_replicas_for_deployment")
def _wrap_autoscale(original: Coroutine) -> Coroutine:
    function = function_name(original)

    @functools.wraps(original)
    async def calculate(self: Any, deployment: Any, *args: Any, **kwargs: Any) -> Any:
        result = await original(self, deployment, *args, **kwargs)
        if HOP.active and result is not None:
            with _KEEP:
                endpoint = entity_text(deployment.id)
                attributes = {} if endpoint is None else {ATTRIBUTE_ENDPOINT_ID: endpoint}
                with run_scope("autoscale", Context(), function=function, attributes=attributes):
                    deferred.remember(endpoint)
        return result

    return calculate


async def _replica(function: str, endpoint: object, made: Awaitable[Any]) -> Any:
    """Await the session of a new replica in the context of the request that wanted it, if that is known.

    The answer of another process's Redis may come while it is being made; then the session is that request's from
    there on.
    """
    scope, text = SpanScope(None, "", SpanKind.INTERNAL, context_api.get_current()), None
    with _SCOPE:
        text = entity_text(endpoint)
        kept = None if text is None else deferred.sessions.find(text)
        if text is not None and kept is not None:
            context, links = deferred.context_of(kept)
            attributes = {ATTRIBUTE_ENDPOINT_ID: text, CODE_FUNCTION_NAME: function}
            scope = SpanScope(HOP.tracer, "make replica", SpanKind.INTERNAL, context, attributes, links)
            text = None
    with scope:
        session = await made
    if text is not None:
        take_over(session, text, newer=True)
    return session
