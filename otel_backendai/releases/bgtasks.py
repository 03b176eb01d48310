# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Background tasks that a request starts and a client polls: below the request's span, under its request ID.

One that is revived after a crash has lost its request (only its manifest was stored): a root with an ID of its own.
Backend.AI turns the task's exception into an event, so it is recorded here, where it passes.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import get_current_span

from otel_backendai.guard import Guard
from otel_backendai.hops.background import HOP, function_name, run_scope
from otel_backendai.hops.span_scope import SpanScope, clean_text, record_error
from otel_backendai.names import ATTRIBUTE_BGTASK_ID

_NAME = Guard("bgtask: name")
_FAIL = Guard("bgtask: failure")


@HOP.wraps("ai.backend.common.bgtask", "BackgroundTaskManager._wrapper_task")
@HOP.wraps("ai.backend.common.bgtask.bgtask", "BackgroundTaskManager._wrapper_task")
def _wrap_wrapper_task(original: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def _wrapper_task(self: Any, func: Any, task_id: Any, task_name: Any, **kwargs: Any) -> None:
        if not HOP.active:
            return await original(self, func, task_id, task_name, **kwargs)
        function = function_name(func)
        with _scope(context_api.get_current(), task_name or function, function, task_id) as scope:

            @functools.wraps(func, assigned=functools.WRAPPER_ASSIGNMENTS, updated=())
            async def recorded(*args: Any, **more: Any) -> Any:
                try:
                    return await func(*args, **more)
                except Exception as error:
                    scope.fail(error)
                    raise

            return await original(self, recorded, task_id, task_name, **kwargs)

    return _wrapper_task


@HOP.wraps("ai.backend.common.bgtask.bgtask", "BackgroundTaskManager._execute_new_task")
def _wrap_execute_new_task(original: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def _execute_new_task(self: Any, task_name: Any, task_id: Any, *args: Any, **kwargs: Any) -> None:
        if not HOP.active:
            return await original(self, task_name, task_id, *args, **kwargs)
        with _scope(context_api.get_current(), task_name, function_name(original), task_id):
            return await original(self, task_name, task_id, *args, **kwargs)

    return _execute_new_task


@HOP.wraps("ai.backend.common.bgtask.bgtask", "BackgroundTaskManager._revive_task")
def _wrap_revive_task(original: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def _revive_task(self: Any, task_name: Any, task_info: Any, *args: Any, **kwargs: Any) -> None:
        if not HOP.active:
            return await original(self, task_name, task_info, *args, **kwargs)
        task_id = getattr(task_info, "task_id", None)
        with _scope(Context(), task_name, function_name(original), task_id):
            return await original(self, task_name, task_info, *args, **kwargs)

    return _revive_task


@HOP.wraps("ai.backend.common.bgtask.task.registry", "BackgroundTaskHandlerRegistry.execute_new_task")
@HOP.wraps("ai.backend.common.bgtask.task.registry", "BackgroundTaskHandlerRegistry.revive_task")
def _wrap_handler(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def handle(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(self, *args, **kwargs)
        except Exception as error:
            if HOP.active:
                with _FAIL:
                    record_error(get_current_span(), error)
            raise

    return handle


def _scope(context: Context, task_name: object, function: str, task_id: object) -> SpanScope:
    name, attributes = function, {}
    with _NAME:
        # Text up to 25.5, an enumeration of texts later.
        name = clean_text(str(getattr(task_name, "value", task_name)))
        attributes = {ATTRIBUTE_BGTASK_ID: str(task_id)}
    return run_scope(name, context, function=function, attributes=attributes)
