# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Model services: the replicas that a controller makes and ends later belong to the request that wanted them.

A request changes an endpoint (a deployment, from 26.4 on), and a timer compares what is wanted with what is there. The
request's context is kept under the endpoint's ID; who makes a replica of that endpoint continues it, and so does the
end of one that a later request does not want any more. When the autoscaler decides, there is no request: its decision
is a root of its own, which the replicas that come of it continue.
"""

import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context, create_key
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops import deferred
from otel_backendai.hops.background import function_name, run_scope
from otel_backendai.hops.deferred import HOP
from otel_backendai.hops.kept import Kept
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_ENDPOINT_ID, CODE_FUNCTION_NAME
from otel_backendai.releases.arguments import Argument
from otel_backendai.releases.entities import entity_text

Coroutine = Callable[..., Awaitable[Any]]

_CONTROLLER = "ai.backend.manager.sokovan.deployment.deployment_controller"
_DEPLOYMENTS = "ai.backend.manager.sokovan.deployment.coordinator"
_ROUTES = "ai.backend.manager.sokovan.deployment.route.coordinator"
_EXECUTOR = "ai.backend.manager.sokovan.deployment.route.executor"
_SERVICE = "ai.backend.manager.services.model_serving.services.model_serving"
_SCALING = "ai.backend.manager.services.model_serving.services.auto_scaling"
_REPOSITORY = "ai.backend.manager.repositories.deployment.repository"
_SCHEDULING = "ai.backend.manager.sokovan.scheduling_controller.scheduling_controller"

_KEEP = Guard("model services: keep")
_SCOPE = Guard("model services: scope")

# In 25.15, the endpoint of each route for which sessions are being made.
_ENDPOINTS = create_key("otel-backendai-endpoints-of-routes")


def changed(endpoint: object) -> None:
    """Note that the current request makes or changes an endpoint; what a timer does with one is nobody's wish."""
    with _KEEP:
        context = context_api.get_current()
        text = entity_text(endpoint)
        if text is not None and not deferred.is_anyones(context) and request_id.read(context) is not None:
            deferred.remember(text)


def take_over(entity: object, endpoint: object, *, newer: bool = False) -> None:
    """Make what happens to ``entity`` (a session, a route) part of the request that changed its endpoint last.

    Args:
        entity: The ID of what is made or ended for the endpoint.
        endpoint: The ID of the endpoint.
        newer: Whether an entity that is younger than this request is taken over, too.
    """
    with _KEEP:
        text, owner = entity_text(entity), entity_text(endpoint)
        if text is None or owner is None or not HOP.active:
            return

        def take(kept: Kept) -> None:
            own = deferred.sessions.find(text)
            if own is None or newer or own.at < kept.at:
                deferred.sessions.remember(text, deferred.context_of(kept)[0])

        deferred.sessions.when_found(owner, take)


def _changes(endpoint_of: Callable[..., object]) -> Callable[[Coroutine], Coroutine]:
    """A factory for a method by which a request changes the endpoint that ``endpoint_of`` takes from its arguments."""

    def wrap(original: Coroutine) -> Coroutine:
        @functools.wraps(original)
        async def change(self: Any, *args: Any, **kwargs: Any) -> Any:
            if HOP.active:
                with _KEEP:
                    changed(endpoint_of(*args, **kwargs))
            return await original(self, *args, **kwargs)

        return change

    return wrap


def _of_action(action: Any) -> object:
    names = ("deployment_id", "endpoint_id", "service_id")
    return next((getattr(action, name) for name in names if hasattr(action, name)), None)


def _first(*args: Any, endpoint_id: Any = None, deployment_id: Any = None, **_: Any) -> object:
    return args[0] if args else endpoint_id or deployment_id


for _name in ("update_deployment", "destroy_deployment", "activate_revision"):
    HOP.wraps(_CONTROLLER, f"DeploymentController.{_name}")(_changes(_first))
for _name in ("delete", "delete_route", "modify_endpoint", "update_endpoint"):
    HOP.wraps(_SERVICE, f"ModelServingService.{_name}")(_changes(_of_action))
HOP.wraps(_SCALING, "AutoScalingService.scale_service_replicas")(_changes(_of_action))


@HOP.wraps(_CONTROLLER, "DeploymentController.create_deployment")
@HOP.wraps(_SERVICE, "ModelServingService.create")
def _wrap_create(original: Coroutine) -> Coroutine:
    @functools.wraps(original)
    async def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = await original(self, *args, **kwargs)
        if HOP.active:
            with _KEEP:
                data = getattr(result, "data", None)
                changed(getattr(data, "endpoint_id", None) if data is not None else getattr(result, "id", None))
        return result

    return create


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
