# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Background work: each run of a timer, and of a function with ``@ensure_request_id``, has a request ID of its own."""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ParamSpec, TypeVar, cast

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind
from opentelemetry.util.types import AttributeValue

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops import noise
from otel_backendai.hops.span_scope import SpanScope, with_request_id
from otel_backendai.names import CODE_FUNCTION_NAME, ORIGIN_BACKGROUND
from otel_backendai.patching import Hop

HOP = Hop("background")

_RUN = Guard("background: run")

P = ParamSpec("P")
R = TypeVar("R")


@HOP.wraps("aiotools", "create_timer")
@HOP.wraps("aiotools.timer", "create_timer")
def _wrap_create_timer(original: Callable[..., Any]) -> Callable[..., Any]:
    # Backend.AI always calls it as `aiotools.create_timer`. What escapes a tick is the application's own and passes:
    # with aiotools 1.x it ends the timer, as it does without us.
    @functools.wraps(original)
    def create_timer(cb: Callable[[float], Any], *args: Any, **kwargs: Any) -> Any:
        name = function_name(cb)

        async def tick(interval: float) -> None:
            if not HOP.active:
                await cb(interval)
                return
            # A tick runs in no context: nothing of the code that made the timer, nor of the tick before.
            with run_scope(name, Context(), quiet=noise.is_noise_timer(name)):
                await cb(interval)

        return original(tick, *args, **kwargs)

    return create_timer


def run_scope(
    name: str,
    context: Context,
    *,
    function: str | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
    links: Sequence[Link] = (),
    quiet: bool = False,
) -> SpanScope:
    """Return the scope of one background run in ``context``: a new request ID if it has none, an INTERNAL span.

    Args:
        name: The span's name.
        context: The complete context to run in; an empty one for a run that nobody asked for.
        function: The function's qualified name, if it is not ``name``.
        attributes: Further attributes of the span.
        links: What the run comes of and is no part of.
        quiet: True for noise: a span only if there is something to do.
    """
    more: dict[str, AttributeValue] = {CODE_FUNCTION_NAME: function or name, **(attributes or {})}
    with _RUN:
        context, origin = with_request_id(context, ORIGIN_BACKGROUND)
        more.update(origin)
    return SpanScope(HOP.tracer, name, SpanKind.INTERNAL, context, more, links, quiet=quiet)


def function_name(function: object) -> str:
    """Return the qualified name of a callable, that of the function below ``functools.partial``, else its class's."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__qualname__


def ensure_request_id(function: Callable[P, R]) -> Callable[P, R]:
    """Run ``function`` under a request ID: the current one, else a new one and a span around the run.

    For coroutine functions, plain functions, generators and async generators; which of them the decorated function is
    does not change. The span is a root unless a span without a request ID is current. A generator runs in the context
    step by step, so that nothing leaks to whoever iterates over it.
    """
    if inspect.isasyncgenfunction(function):
        wrap: Callable[..., Any] = _run_asyncgen
    elif inspect.isgeneratorfunction(function):
        wrap = _run_generator
    elif inspect.iscoroutinefunction(function):
        wrap = _run_coroutine
    else:
        wrap = _run_plain
    return cast(Callable[P, R], functools.wraps(function)(wrap(function_name(function), function)))


def _run_asyncgen(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        scope = _scope_of_steps(name)
        steps = function(*args, **kwargs)
        step, argument = steps.asend, None
        while True:
            with scope:
                try:
                    value = await step(argument)
                except StopAsyncIteration:
                    return
                scope.keep_open()
            try:
                step, argument = steps.asend, (yield value)
            except GeneratorExit:
                with scope:
                    await steps.aclose()
                raise
            except BaseException as error:
                step, argument = steps.athrow, error

    return run


def _run_generator(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        scope = _scope_of_steps(name)
        steps = function(*args, **kwargs)
        step, argument = steps.send, None
        while True:
            with scope:
                try:
                    value = step(argument)
                except StopIteration as end:
                    return end.value
                scope.keep_open()
            try:
                step, argument = steps.send, (yield value)
            except GeneratorExit:
                with scope:
                    closed = steps.close()
                if closed is None:
                    raise
                return closed  # what close() answers from 3.13 on
            except BaseException as error:
                step, argument = steps.throw, error

    return run


def _run_coroutine(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> Any:
        with _scope_if_absent(name):
            return await function(*args, **kwargs)

    return run


def _run_plain(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with _scope_if_absent(name) as scope:
            result = function(*args, **kwargs)
            if scope is not None and inspect.iscoroutine(result):
                # A plain function that hands a coroutine out (a partial, an object with an async __call__).
                return scope.continued_by(result)
            return result

    return run


def _scope_if_absent(name: str) -> AbstractContextManager[SpanScope | None]:
    return run_scope(name, context_api.get_current()) if request_id.read() is None else nullcontext()


def _scope_of_steps(name: str) -> SpanScope:
    """The scope of a generator. With a request ID at its first step: that context for all its steps, and no span."""
    context = context_api.get_current()
    if request_id.read(context) is None:
        return run_scope(name, context)
    return SpanScope(None, name, SpanKind.INTERNAL, context)
