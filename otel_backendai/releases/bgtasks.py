# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Background tasks that a request starts and a client polls: below the request's span, under its request ID.

So is one that another process runs again because the first one died, see :mod:`otel_backendai.releases.task_records`.
Backend.AI turns the task's exception into an event, so it is recorded here, where it passes.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, get_current_span

from otel_backendai.guard import Guard
from otel_backendai.hops.background import HOP, function_name, run_scope
from otel_backendai.hops.span_errors import clean_text, record_error
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_BGTASK_ID, ATTRIBUTE_BGTASK_STATUS
from otel_backendai.releases.task_records import context_of_record

_NAME = Guard("bgtask: name")
_END = Guard("bgtask: end")

_MANAGER = "ai.backend.common.bgtask.bgtask"
_REGISTRY = "ai.backend.common.bgtask.task.registry"

# What Backend.AI calls the end of a task in its events, without their prefix.
DONE = "done"
PARTIAL_SUCCESS = "partial_success"
CANCELLED = "cancelled"
FAILED = "failed"


@HOP.wraps("ai.backend.common.bgtask", "BackgroundTaskManager._wrapper_task")
@HOP.wraps(_MANAGER, "BackgroundTaskManager._wrapper_task")
def _wrap_wrapper_task(original: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def _wrapper_task(self: Any, func: Any, task_id: Any, task_name: Any, **kwargs: Any) -> None:
        if not HOP.active:
            return await original(self, func, task_id, task_name, **kwargs)
        function = function_name(func)
        with _scope(context_api.get_current(), task_name or function, function, task_id) as scope:
            recorded = functools.wraps(func, assigned=functools.WRAPPER_ASSIGNMENTS, updated=())(
                _recorded(scope.span, func)
            )
            return await original(self, recorded, task_id, task_name, **kwargs)

    return _wrapper_task


@HOP.wraps(_MANAGER, "BackgroundTaskManager._execute_new_task")
def _wrap_execute_new_task(original: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def _execute_new_task(self: Any, task_name: Any, task_id: Any, *args: Any, **kwargs: Any) -> None:
        if not HOP.active:
            return await original(self, task_name, task_id, *args, **kwargs)
        with _scope(context_api.get_current(), task_name, function_name(original), task_id):
            return await original(self, task_name, task_id, *args, **kwargs)

    return _execute_new_task


@HOP.wraps(_MANAGER, "BackgroundTaskManager._revive_task")
def _wrap_revive_task(original: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def _revive_task(self: Any, task_name: Any, task_info: Any, *args: Any, **kwargs: Any) -> None:
        if not HOP.active:
            return await original(self, task_name, task_info, *args, **kwargs)
        task_id = getattr(task_info, "task_id", None)
        context, links = context_of_record(task_info)
        with _scope(context, task_name, function_name(original), task_id, links):
            return await original(self, task_name, task_info, *args, **kwargs)

    return _revive_task


@HOP.wraps(_REGISTRY, "BackgroundTaskHandlerRegistry.execute_new_task")
@HOP.wraps(_REGISTRY, "BackgroundTaskHandlerRegistry.revive_task")
def _wrap_handler(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def handle(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not HOP.active:
            return await original(self, *args, **kwargs)
        return await _recorded(get_current_span(), functools.partial(original, self))(*args, **kwargs)

    return handle


def _recorded(span: Span, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """What a task runs, with its end written down on ``span``: both managers turn exceptions into events."""

    async def run(*args: Any, **kwargs: Any) -> Any:
        try:
            result = await function(*args, **kwargs)
        except asyncio.CancelledError:
            _note(span, CANCELLED)
            raise
        except Exception as error:
            _note(span, FAILED)
            with _END:
                record_error(span, error)
            raise
        with _END:
            has_error = getattr(result, "has_error", None)
            _note(span, PARTIAL_SUCCESS if callable(has_error) and has_error() else DONE)
        return result

    return run


def _note(span: Span, status: str) -> None:
    with _END:
        span.set_attribute(ATTRIBUTE_BGTASK_STATUS, status)


def _scope(
    context: Context, task_name: object, function: str, task_id: object, links: Sequence[Link] = ()
) -> SpanScope:
    name, attributes = function, {}
    with _NAME:
        # Text up to 25.5, an enumeration of texts later.
        name = clean_text(str(getattr(task_name, "value", task_name)))
        attributes = {ATTRIBUTE_BGTASK_ID: str(task_id)}
    return run_scope(name, context, function=function, attributes=attributes, links=links)
