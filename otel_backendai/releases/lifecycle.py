# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The agent's lifecycle queue: what is put there by a request is handled in the context of that request.

A task that lives as long as the agent takes the events out and starts a handler for each in its own context; without
this adapter every KernelTerminated event of Backend.AI is nobody's.
"""

import functools
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context

from otel_backendai.guard import Guard
from otel_backendai.hops.background import HOP, function_name, run_scope
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_KERNEL_ID, ATTRIBUTE_SESSION_ID

_KEEP = Guard("lifecycle: keep the context")
_FIND = Guard("lifecycle: find the context")

# An agent has a few hundred kernels at the most, each with one or two events on their way.
MAX_KEPT = 10_000

# By id(), because the events have slots and no hash; the weak reference takes the entry away with its event.
_kept: dict[int, tuple[weakref.ref[Any], Context]] = {}


@HOP.wraps("ai.backend.agent.types", "ContainerLifecycleEvent.__init__")
def _wrap_init(original: Callable[..., None]) -> Callable[..., Any]:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # the target's name
        original(self, *args, **kwargs)
        if HOP.active:
            with _KEEP:
                _keep(self, context_api.get_current())

    return __init__


def _keep(event: Any, context: Context) -> None:
    if len(_kept) >= MAX_KEPT:
        return
    key = id(event)
    _kept[key] = weakref.ref(event, lambda gone: _forget(key, gone)), context


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
        kept = _kept.get(id(event))
        if kept is not None and kept[0]() is event:
            context = kept[1]
        # START, DESTROY, CLEAN: an integer in all releases, so the enumeration's own name.
        name = f"container lifecycle {event.event.name.lower()}"
        attributes = {ATTRIBUTE_KERNEL_ID: str(event.kernel_id), ATTRIBUTE_SESSION_ID: str(event.session_id)}
    return run_scope(name, context, function=function, attributes=attributes)
