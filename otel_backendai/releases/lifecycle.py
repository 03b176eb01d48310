# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The agent's lifecycle queue: what is put there by a request is handled in the context of that request.

A task that lives as long as the agent takes the events out, writes a line about each, and starts a handler for it in
its own context; without this adapter those lines and every KernelTerminated event of Backend.AI are nobody's. What
the daemon of containers reports by itself (started, died) is of the request that did something with that session last.
"""

import functools
import weakref
from collections.abc import Awaitable, Callable
from contextvars import Token
from typing import Any

import wrapt
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import get_current_span

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops import deferred
from otel_backendai.hops.background import HOP, function_name, run_scope
from otel_backendai.hops.quiet_span import woken
from otel_backendai.hops.recent import Recent
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_KERNEL_ID, ATTRIBUTE_SESSION_ID
from otel_backendai.releases.entities import entity_text

_KEEP = Guard("lifecycle: keep the context")
_FIND = Guard("lifecycle: find the context")
_FOLLOW = Guard("lifecycle: follow the queue")

# An agent has a few hundred kernels at the most, each with one or two events on their way.
MAX_KEPT = 10_000

# What requests have done with sessions here: a destroyed container's end is often reported by the daemon first.
_last_requests: Recent[str, Context] = Recent(MAX_KEPT)

# By id(), because the events have slots and no hash; the weak reference takes the entry away with its event.
_kept: dict[int, tuple[weakref.ref[Any], Context]] = {}


@HOP.wraps("ai.backend.agent.types", "ContainerLifecycleEvent.__init__")
def _wrap_init(original: Callable[..., None]) -> Callable[..., Any]:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # the target's name
        original(self, *args, **kwargs)
        if HOP.active:
            with _KEEP:
                # A timer that notices a dead container has found something to do; once it is over it cannot say so.
                _keep(self, woken(context_api.get_current()))

    return __init__


def _keep(event: Any, context: Context) -> None:
    session = entity_text(event.session_id)
    if session is not None:
        if not _is_nobodys(context):
            _last_requests.put(session, context)
        else:
            context = _last_requests.get(session) or _context_of_session(session) or context
    if len(_kept) >= MAX_KEPT:
        return
    key = id(event)
    _kept[key] = weakref.ref(event, lambda gone: _forget(key, gone)), context


def _is_nobodys(context: Context) -> bool:
    return request_id.read(context) is None and not get_current_span(context).get_span_context().is_valid


def _context_of_session(session: str) -> Context | None:
    kept = deferred.sessions.find(session)
    # An hour after its request a session's work begins traces of its own.
    return None if kept is None else deferred.context_of(kept)[0]


def _forget(key: int, gone: weakref.ref[Any]) -> None:
    # Another event may have got the same address before this call-back ran.
    if key in _kept and _kept[key][0] is gone:
        del _kept[key]


@HOP.wraps("ai.backend.agent.agent", "AbstractAgent._handle_start_event")
@HOP.wraps("ai.backend.agent.agent", "AbstractAgent._handle_destroy_event")
@HOP.wraps("ai.backend.agent.agent", "AbstractAgent._handle_clean_event")
def _wrap_handle_event(original: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    function = function_name(original)

    @functools.wraps(original)
    async def handle(self: Any, ev: Any) -> None:
        if not HOP.active:
            return await original(self, ev)
        with _scope_of(function, ev):
            return await original(self, ev)

    return handle


def _scope_of(function: str, event: Any) -> SpanScope:
    context, name, attributes = Context(), function, {}
    with _FIND:
        context = _context_of(event) or context
        # START, DESTROY, CLEAN: an integer in all releases, so the enumeration's own name.
        name = f"container lifecycle {event.event.name.lower()}"
        attributes = {ATTRIBUTE_KERNEL_ID: str(event.kernel_id), ATTRIBUTE_SESSION_ID: str(event.session_id)}
    return run_scope(name, context, function=function, attributes=attributes)


def _context_of(event: object) -> Context | None:
    kept = _kept.get(id(event))
    return kept[1] if kept is not None and kept[0]() is event else None


class _FollowedQueue(wrapt.ObjectProxy):  # type: ignore[type-arg]  # generic in wrapt's stubs only
    """The agent's queue, for the task that empties it: between ``get`` and ``task_done``, where that task does not
    await anything, it is in the context of the event that it took."""

    def __init__(self, queue: Any) -> None:
        super().__init__(queue)
        self._self_attached: tuple[Context, Token[Context]] | None = None

    async def get(self) -> Any:
        """Take the next event, and enter its context if it has one."""
        self._leave()
        event = await self.__wrapped__.get()
        if HOP.active:
            with _FOLLOW:
                context = _context_of(event)
                if context is not None:
                    self._self_attached = context, context_api.attach(context)
        return event

    def task_done(self) -> None:
        """Leave that context."""
        self._leave()
        self.__wrapped__.task_done()

    def _leave(self) -> None:
        with _FOLLOW:
            attached, self._self_attached = self._self_attached, None
            if attached is not None and context_api.get_current() is attached[0]:
                context_api.detach(attached[1])


@HOP.wraps("ai.backend.agent.agent", "AbstractAgent.process_lifecycle_events")
def _wrap_process_events(original: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def process_lifecycle_events(self: Any) -> None:
        queue = self.container_lifecycle_queue
        if HOP.active:
            with _FOLLOW:
                self.container_lifecycle_queue = _FollowedQueue(queue)
        try:
            await original(self)
        finally:
            self.container_lifecycle_queue = queue

    return process_lifecycle_events
