# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A request's own part of a session: what the manager does before and while it makes, restarts or ends one.

Nothing of it was seen below the request's span: authentication asks the database, and so do templates, images, folders
and quotas. What comes before the registry is told only for requests that reach it, so other requests cost nothing.
"""

import functools
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops import deferred
from otel_backendai.hops.background import function_name
from otel_backendai.hops.deferred import HOP
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_REQUEST_ID, CODE_FUNCTION_NAME
from otel_backendai.releases.arguments import Argument
from otel_backendai.releases.model_services_dispatcher import wrap_destroy_session
from otel_backendai.releases.session_statuses import RESTARTING, changed

Coroutine = Callable[..., Awaitable[Any]]

_REGISTRY = "ai.backend.manager.registry"
_BEFORE = Guard("session requests: before")
_RESTART = Guard("session requests: restart")

# When the request in whose context we are came to its authentication, and when to its handler; nanoseconds.
_passed: ContextVar[tuple[int, int] | None] = ContextVar("otel_backendai_authenticated", default=None)


@HOP.wraps("ai.backend.manager.api.rest.middleware.auth", "build_auth_middleware")
def _wrap_build_auth(original: Callable[..., Coroutine]) -> Callable[..., Coroutine]:
    @functools.wraps(original)
    def build_auth_middleware(*args: Any, **kwargs: Any) -> Coroutine:
        built: Coroutine = _wrap_auth(original(*args, **kwargs))
        return built

    return build_auth_middleware


@HOP.wraps("ai.backend.manager.api.auth", "auth_middleware")
def _wrap_auth(original: Coroutine) -> Coroutine:
    @functools.wraps(original)
    async def auth_middleware(request: Any, handler: Coroutine) -> Any:
        if not HOP.active:
            return await original(request, handler)
        began = time.time_ns()

        async def authenticated(request: Any) -> Any:
            token = _passed.set((began, time.time_ns()))
            try:
                return await handler(request)
            finally:
                _passed.reset(token)

        return await original(request, authenticated)

    return auth_middleware


def _inside(name: str) -> Callable[[Coroutine], Coroutine]:
    """A factory for a method of the registry that does what a request asked for, below a span of this name."""

    def wrap(original: Coroutine) -> Coroutine:
        attributes = {CODE_FUNCTION_NAME: function_name(original)}

        @functools.wraps(original)
        async def work(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not HOP.active:
                return await original(self, *args, **kwargs)
            deferred.sessions.expect()
            context = context_api.get_current()
            with _BEFORE:
                _tell_before(name)
            with SpanScope(HOP.tracer, name, SpanKind.INTERNAL, context, attributes):
                return await original(self, *args, **kwargs)

        return work

    return wrap


HOP.wraps(_REGISTRY, "AgentRegistry.create_session")(_inside("create session"))
HOP.wraps(_REGISTRY, "AgentRegistry.create_cluster")(_inside("create session"))


@HOP.wraps(_REGISTRY, "AgentRegistry.destroy_session")
def _wrap_destroy(original: Coroutine) -> Coroutine:
    # A hop wraps a target once, so both that know something of it are here.
    return wrap_destroy_session(_inside("destroy session")(original))


@HOP.wraps(_REGISTRY, "AgentRegistry.restart_session")
def _wrap_restart(original: Coroutine) -> Coroutine:
    # To 26.3. Its first act is the status, of which no event tells; of its end the event of a creation does.
    restarted = Argument(original, 1)

    @functools.wraps(original)
    async def restart(*args: Any, **kwargs: Any) -> Any:
        if HOP.active:
            with _RESTART:
                changed(restarted.of(args, kwargs).id, RESTARTING)
        return await original(*args, **kwargs)

    return _inside("restart session")(restart)


# 25.15 and later; their creation comes to the registry.
HOP.wraps("ai.backend.manager.services.session.service", "SessionService.destroy_session")(_inside("destroy session"))


def _tell_before(name: str) -> None:
    """Spans of what the request did until here, once."""
    passed, now = _passed.get(), time.time_ns()
    if passed is None or deferred.is_anyones(context_api.get_current()):
        return
    _passed.set(None)
    request = request_id.read()
    attributes = {} if request is None else {ATTRIBUTE_REQUEST_ID: request}
    for part, start, end in (("authenticate", *passed), (f"prepare to {name}", passed[1], now)):
        HOP.tracer.start_span(part, attributes=attributes, start_time=start).end(end)
