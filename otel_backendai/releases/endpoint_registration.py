# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The manager's calls to the app-proxy about the endpoint of a model service: in the trace of who made or deleted it.

A timer registers an endpoint at the coordinator, and takes it off again when it was deleted; so what the timer's run
makes would be noise. What it does for exactly one endpoint is part of the request that changed that endpoint last. The
bulk calls of 26.4 and later may be about several: such a call is nobody's, and linked to each of the requests. A call
that fails is made again by every run of the timer: of those fewer and fewer are followed.
"""

import functools
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, get_current_span
from opentelemetry.util.types import AttributeValue

from otel_backendai.guard import Guard
from otel_backendai.hops import deferred
from otel_backendai.hops.background import function_name, run_scope
from otel_backendai.hops.deferred import HOP
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_ENDPOINT_ID, CODE_FUNCTION_NAME
from otel_backendai.releases.arguments import Argument
from otel_backendai.releases.dwindling import Dwindling
from otel_backendai.releases.entities import entity_text

Coroutine = Callable[..., Awaitable[Any]]

_EXECUTOR = "ai.backend.manager.sokovan.deployment.executor"
_ROUTES = "ai.backend.manager.sokovan.deployment.route.executor"
_REGISTRY = "ai.backend.manager.registry"

_SCOPE = Guard("endpoint registration: scope")

_calls_followed = Dwindling()


def forget() -> None:
    """Follow everything anew."""
    _calls_followed.clear()


def _calls(
    name: str, position: int, endpoints_of: Callable[[Any], Iterable[object]]
) -> Callable[[Coroutine], Coroutine]:
    """A factory for a method that calls the app-proxy.

    Args:
        name: Of the span.
        position: The place of the argument that names what the call is about.
        endpoints_of: Takes the endpoints' IDs from that argument.
    """

    def wrap(original: Coroutine) -> Coroutine:
        attributes = {CODE_FUNCTION_NAME: function_name(original)}
        about = Argument(original, position)

        @functools.wraps(original)
        async def call(*args: Any, **kwargs: Any) -> Any:
            scope = None
            # A request that calls at once does so in its own trace.
            if HOP.active and deferred.is_anyones(context_api.get_current()):
                with _SCOPE:
                    found = (entity_text(endpoint) for endpoint in endpoints_of(about.of(args, kwargs)))
                    scope = _scope(name, list(dict.fromkeys(text for text in found if text is not None)), attributes)
            if scope is None:
                return await original(*args, **kwargs)
            with scope:
                return await original(*args, **kwargs)

        return call

    return wrap


def _scope(name: str, endpoints: list[str], attributes: dict[str, str]) -> SpanScope | None:
    # All of them: one that is not known here is asked for.
    known = {endpoint: kept for endpoint in endpoints if (kept := deferred.sessions.find(endpoint)) is not None}
    now = time.time()
    if not [True for endpoint, kept in known.items() if _calls_followed.is_due(f"{name} {endpoint}", kept.at, now)]:
        return None
    found = list(known.values())
    if len(endpoints) == 1:
        context, links = deferred.context_of(found[0])
        more: dict[str, AttributeValue] = {ATTRIBUTE_ENDPOINT_ID: endpoints[0], **attributes}
        return SpanScope(HOP.tracer, name, SpanKind.INTERNAL, context, more, links)
    requests = [get_current_span(kept.context).get_span_context() for kept in found]
    # One request may have changed several of them.
    links = [Link(request) for request in {one.span_id: one for one in requests}.values() if request.is_valid]
    return run_scope(name, Context(), function=attributes[CODE_FUNCTION_NAME], links=links)


def _deployment(deployment: Any) -> object:
    return getattr(deployment, "deployment_info", deployment).id


# Entries are tuples that begin with the deployment where they are registered, and deployments where they are not.
HOP.wraps(_EXECUTOR, "DeploymentExecutor._dispatch_bulk_register")(
    _calls("register endpoint", 3, lambda entries: [_deployment(entry[0]) for entry in entries])
)
HOP.wraps(_EXECUTOR, "DeploymentExecutor._dispatch_bulk_unregister")(
    _calls("unregister endpoint", 3, lambda group: map(_deployment, group))
)
HOP.wraps(_ROUTES, "RouteExecutor.register_routes_now")(
    _calls("register routes", 1, lambda routes: [route.deployment_id for route in routes])
)
HOP.wraps(_ROUTES, "RouteExecutor.unregister_routes_now")(
    _calls("unregister routes", 1, lambda routes: [route.deployment_id for route in routes])
)
HOP.wraps(_EXECUTOR, "DeploymentExecutor._register_endpoint")(
    _calls("register endpoint", 1, lambda deployment: [_deployment(deployment)])
)
HOP.wraps(_EXECUTOR, "DeploymentExecutor._delete_endpoint_from_wsproxy")(
    _calls("unregister endpoint", 1, lambda endpoint: [endpoint])
)
# Up to 25.15 the scheduler and handlers of events.
HOP.wraps(_REGISTRY, "AgentRegistry.update_appproxy_endpoint_routes")(
    _calls("register endpoint", 2, lambda endpoint: [endpoint.id])
)
HOP.wraps(_REGISTRY, "AgentRegistry.delete_appproxy_endpoint")(
    _calls("unregister endpoint", 2, lambda endpoint: [endpoint.id])
)
