# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""`@ensure_request_id` on functions of every kind."""

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextvars import copy_context
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.trace import SpanKind, StatusCode

from otel_backendai import request_id
from otel_backendai.api import bind_request_id, current_request_id, ensure_request_id
from otel_backendai.hops import background
from tests.conftest import Telemetry

Seen = list[str | None]


@ensure_request_id
async def coroutine(argument: int = 1) -> str | None:
    """A coroutine function."""
    await asyncio.sleep(0)
    return current_request_id()


@ensure_request_id
def plain(argument: int = 1) -> str | None:
    """A plain function."""
    return current_request_id()


@ensure_request_id
def generator(argument: int = 1) -> Iterator[str | None]:
    """A generator."""
    for _ in range(3):
        yield current_request_id()


@ensure_request_id
async def async_generator(argument: int = 1) -> AsyncIterator[str | None]:
    """An async generator."""
    for _ in range(3):
        await asyncio.sleep(0)
        yield current_request_id()


async def all_seen(function: Callable[..., Any]) -> Seen:
    """The request IDs that one run of a function of any kind saw; the consumer's own must not change meanwhile."""
    before = context_api.get_current()
    if function is coroutine:
        seen = [await coroutine()]
    elif function is plain:
        seen = [plain()]
    elif function is generator:
        seen = []
        for value in generator():
            assert context_api.get_current() is before
            seen.append(value)
    else:
        seen = []
        async for value in async_generator():
            assert context_api.get_current() is before
            seen.append(value)
    assert context_api.get_current() is before
    return seen


every_kind = pytest.mark.parametrize(
    "function", [coroutine, plain, generator, async_generator], ids=lambda function: function.__name__
)


def test_the_kind_and_the_face_of_a_function_do_not_change() -> None:
    """Frameworks ask `inspect`: name, docstring, signature and kind are those of the original."""
    assert inspect.iscoroutinefunction(coroutine)
    assert asyncio.iscoroutinefunction(coroutine) if not hasattr(inspect, "markcoroutinefunction") else True
    assert inspect.isgeneratorfunction(generator)
    assert inspect.isasyncgenfunction(async_generator)
    assert not any(
        ask(plain) for ask in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    )
    for function, name in ((coroutine, "coroutine"), (plain, "plain"), (generator, "generator")):
        assert function.__name__ == name
        assert function.__doc__
        assert list(inspect.signature(function).parameters) == ["argument"]


def test_methods_of_every_kind() -> None:
    """On methods, class methods and static methods, below their own decorators."""

    class Worker:
        @ensure_request_id
        def method(self) -> str | None:
            return current_request_id()

        @classmethod
        @ensure_request_id
        def of_class(cls) -> str | None:
            return current_request_id()

        @staticmethod
        @ensure_request_id
        def static() -> str | None:
            return current_request_id()

    assert all(request_id.is_acceptable(seen) for seen in (Worker().method(), Worker.of_class(), Worker.static()))


@every_kind
async def test_a_new_id_and_a_root_span(function: Callable[..., Any], telemetry: Telemetry) -> None:
    """Outside of any request: one minted ID in all steps, one INTERNAL root span with origin and function name."""
    seen = await all_seen(function)
    assert len(set(seen)) == 1
    (span,) = telemetry.spans
    assert span.kind is SpanKind.INTERNAL
    assert span.parent is None
    assert span.name == function.__qualname__
    assert span.attributes is not None
    assert span.attributes["backendai.request.id"] == seen[0]
    assert span.attributes["backendai.request.origin.detail"] == "background"
    assert span.attributes["code.function.name"] == function.__qualname__
    assert span.status.status_code is StatusCode.UNSET


@every_kind
async def test_an_existing_id_is_kept(function: Callable[..., Any], telemetry: Telemetry) -> None:
    """Inside of a request it does nothing: no span, no new ID."""
    with bind_request_id("req-1"):
        assert set(await all_seen(function)) == {"req-1"}
    assert not telemetry.spans


@every_kind
async def test_a_hostile_id_is_no_id(function: Callable[..., Any], telemetry: Telemetry) -> None:
    """What is not acceptable counts as absent, other baggage stays."""
    token = context_api.attach(baggage.set_baggage("backendai.request.id", "a b"))
    try:
        seen = await all_seen(function)
    finally:
        context_api.detach(token)
    assert request_id.is_acceptable(seen[0])
    assert len(telemetry.spans) == 1


@every_kind
async def test_each_run_is_a_request_of_its_own(function: Callable[..., Any], telemetry: Telemetry) -> None:
    """Two runs, two IDs, two traces."""
    first, second = await all_seen(function), await all_seen(function)
    assert first[0] != second[0]
    assert len({span.context.trace_id for span in telemetry.spans if span.context}) == 2


@every_kind
async def test_without_hop_and_sdk(function: Callable[..., Any]) -> None:
    """The decorator works when no instrumentor is active and no SDK is there."""
    assert not background.HOP.active
    seen = await all_seen(function)
    assert len(set(seen)) == 1
    assert request_id.is_acceptable(seen[0])


async def test_a_span_without_a_request_is_the_parent(telemetry: Telemetry) -> None:
    """Somebody's trace is continued: only the ID is new."""
    with telemetry.provider.get_tracer("other").start_as_current_span("outer") as outer:
        await coroutine()
    (inner, _) = telemetry.spans
    assert inner.parent is not None
    assert inner.parent.span_id == outer.get_span_context().span_id


async def test_nested_runs_share_one_id(telemetry: Telemetry) -> None:
    """The outermost decorated function opens the request; those that it calls belong to it."""

    @ensure_request_id
    async def outer() -> Seen:
        return [current_request_id(), await coroutine(), plain(), *generator(), *[v async for v in async_generator()]]

    seen = await outer()
    assert len(seen) == 9
    assert len(set(seen)) == 1
    assert len(telemetry.spans) == 1


class Boom(Exception):  # noqa: N818  # short, and no error of anybody
    """An exception of the application."""


@pytest.mark.parametrize("kind", ["coroutine", "plain", "generator", "async generator"])
async def test_exceptions_pass(kind: str, telemetry: Telemetry) -> None:
    """The same object reaches the caller; the span says what it was; nothing stays attached."""
    error = Boom("x")

    @ensure_request_id
    def run_plain() -> None:
        raise error

    @ensure_request_id
    async def run_coroutine() -> None:
        raise error

    @ensure_request_id
    def run_generator() -> Iterator[int]:
        yield 1
        raise error

    @ensure_request_id
    async def run_asyncgen() -> AsyncIterator[int]:
        yield 1
        raise error

    with pytest.raises(Boom) as caught:  # noqa: PT012  # one call per kind
        if kind == "plain":
            run_plain()
        elif kind == "coroutine":
            await run_coroutine()
        elif kind == "generator":
            list(run_generator())
        else:
            [value async for value in run_asyncgen()]
    assert caught.value is error
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    (span,) = telemetry.spans
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert str(span.attributes["error.type"]).endswith("Boom")
    assert [event.name for event in span.events] == ["exception"]


async def test_a_coroutine_that_a_plain_function_hands_out_runs_in_the_request(telemetry: Telemetry) -> None:
    """A partial, or an object with an async `__call__`: the ID and the span last until the coroutine is through."""

    class Task:
        async def __call__(self) -> str | None:
            await asyncio.sleep(0)
            return current_request_id()

    handed_out = ensure_request_id(Task())()
    assert current_request_id() is None
    assert not telemetry.spans
    seen = await handed_out
    (span,) = telemetry.spans
    assert span.attributes is not None
    assert span.attributes["backendai.request.id"] == seen
    assert current_request_id() is None


async def test_cancellation_is_no_failure(telemetry: Telemetry) -> None:
    """A cancelled run ends its span without an error."""

    @ensure_request_id
    async def long() -> None:
        await asyncio.sleep(30)

    task = asyncio.create_task(long())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (span,) = telemetry.spans
    assert span.status.status_code is StatusCode.UNSET


async def test_the_text_of_an_exception_cannot_spoil_an_export(telemetry: Telemetry) -> None:
    """A lone surrogate in a message fails the encoding of a whole batch: none reaches a span."""

    @ensure_request_id
    def run() -> None:
        raise Boom("bad \ud800 text")

    with pytest.raises(Boom):
        run()
    (span,) = telemetry.spans
    texts = [span.status.description or "", *(str(value) for value in (span.attributes or {}).values())]
    for event in span.events:
        texts.extend(str(value) for value in (event.attributes or {}).values())
    for text in texts:
        text.encode()


class RaisingSampler(Sampler):
    """A sampler of the operator that fails."""

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        """Raise."""
        raise RuntimeError("sampler")

    def get_description(self) -> str:
        """Its name."""
        return "raising"


@every_kind
@pytest.mark.usefixtures("lenient")
async def test_a_span_that_cannot_be_started_costs_only_itself(function: Callable[..., Any]) -> None:
    """A hop degrades to what it can carry, at least the request ID: in every step, and the same one."""
    background.HOP.install(TracerProvider(sampler=RaisingSampler(), shutdown_on_exit=False))
    try:
        seen = await all_seen(function)
    finally:
        background.HOP.uninstall()
    assert request_id.is_acceptable(seen[0])
    assert len(set(seen)) == 1


# Generators ---------------------------------------------------------------------------------------------------------


def conversation() -> Generator[Any, Any, str]:
    """Answers what it was sent or thrown, and returns the end of it."""
    heard: list[Any] = []
    while len(heard) < 3:
        try:
            heard.append((yield list(heard)))
        except Boom as error:
            heard.append(repr(error))
    return f"heard {heard}"


def talk(talking: Generator[Any, Any, str]) -> list[Any]:
    """A conversation of send, throw and the value at the end."""
    answers = [next(talking), talking.send("a"), talking.throw(Boom("x"))]
    try:
        talking.send("c")
    except StopIteration as end:
        answers.append(end.value)
    return answers


def test_send_throw_and_return_value_as_without_us(telemetry: Telemetry) -> None:
    """What is sent and thrown arrives, what is yielded and returned comes back."""
    assert talk(ensure_request_id(conversation)()) == talk(conversation())
    assert len(telemetry.spans) == 1


def test_yield_from_gets_the_return_value() -> None:
    """A delegating generator sees no difference."""

    def delegating() -> Generator[Any, Any, Any]:
        return (yield from ensure_request_id(conversation)())

    assert talk(delegating()) == talk(conversation())


def test_a_generator_that_is_never_started_opens_nothing(telemetry: Telemetry) -> None:
    """No step, no request."""
    generator()
    generator().close()  # type: ignore[attr-defined]  # an iterator in name only
    assert not telemetry.spans


@pytest.mark.parametrize("how", ["break", "close", "garbage"])
def test_a_generator_that_is_left_early_ends_its_span(how: str, telemetry: Telemetry) -> None:
    """Clean-up code of the generator runs under its ID; the span ends without an error."""
    cleaned: Seen = []

    @ensure_request_id
    def run() -> Generator[str | None, None, None]:
        try:
            while True:
                yield current_request_id()
        finally:
            cleaned.append(current_request_id())

    running = run()
    first = next(running)
    if how == "close":
        running.close()
    elif how == "break":
        for _ in running:
            break
        del running, _
    else:
        del running
    assert cleaned == [first]
    (span,) = telemetry.spans
    assert span.status.status_code is StatusCode.UNSET
    assert context_api.get_current() == Context()


def test_closing_answers_as_without_us() -> None:
    """What `close()` returns (from 3.13 the generator's return value) and raises is the original's."""

    def returns() -> Generator[int, None, str]:
        try:
            yield 1
        except GeneratorExit:
            return "closed"
        return "ended"

    def raises() -> Generator[int, None, None]:
        try:
            yield 1
        finally:
            raise Boom("in clean-up")

    def outcome(function: Callable[[], Generator[int, None, Any]]) -> object:
        running = function()
        next(running)
        # That it returns something is in the types from Python 3.13 on.
        close: Callable[[], object] = running.close
        try:
            return close()
        except Boom as error:
            return repr(error)

    for function in (returns, raises):
        assert outcome(ensure_request_id(function)) == outcome(function)


def test_steps_in_other_contexts_keep_the_id(telemetry: Telemetry) -> None:
    """A generator that is handed on runs all its steps under its own ID, and its consumers keep theirs."""
    running = generator()
    first = next(running)
    with bind_request_id("consumer"):
        assert next(running) == first
        assert current_request_id() == "consumer"
    assert copy_context().run(next, running) == first
    assert current_request_id() is None


def test_a_generator_that_began_in_a_request_stays_in_it() -> None:
    """It runs under a request ID in every step: the one it began with, not the next consumer's, nor none."""
    running = generator()
    with bind_request_id("req-1"):
        assert next(running) == "req-1"
    assert next(running) == "req-1"
    with bind_request_id("another"):
        assert next(running) == "req-1"


def test_interleaved_generators_do_not_mix(telemetry: Telemetry) -> None:
    """`zip` over several: each keeps its own ID."""
    rows = list(zip(generator(), generator(), generator(), strict=True))
    assert len(set(rows)) == 1
    assert len(set(rows[0])) == 3
    assert len(telemetry.spans) == 3


# Async generators ---------------------------------------------------------------------------------------------------


async def async_conversation() -> AsyncGenerator[Any, Any]:
    """Answers what it was sent or thrown."""
    heard: list[Any] = []
    while len(heard) < 3:
        try:
            heard.append((yield list(heard)))
        except Boom as error:
            heard.append(repr(error))


async def async_talk(talking: AsyncGenerator[Any, Any]) -> list[Any]:
    """A conversation of asend and athrow until the end."""
    answers = [await anext(talking), await talking.asend("a"), await talking.athrow(Boom("x"))]
    with pytest.raises(StopAsyncIteration):
        await talking.asend("c")
    return answers


async def test_asend_and_athrow_as_without_us(telemetry: Telemetry) -> None:
    """What is sent and thrown arrives, what is yielded comes back."""
    assert await async_talk(ensure_request_id(async_conversation)()) == await async_talk(async_conversation())
    assert len(telemetry.spans) == 1


@pytest.mark.parametrize("how", ["aclose", "athrow"])
async def test_an_async_generator_that_is_left_early_ends_its_span(how: str, telemetry: Telemetry) -> None:
    """Asynchronous clean-up code runs under its ID; nothing stays attached."""
    cleaned: Seen = []

    @ensure_request_id
    async def run() -> AsyncGenerator[str | None, None]:
        try:
            while True:
                yield current_request_id()
        finally:
            await asyncio.sleep(0)
            cleaned.append(current_request_id())

    running = run()
    first = await anext(running)
    assert current_request_id() is None
    if how == "aclose":
        await running.aclose()
    else:
        with pytest.raises(Boom):
            await running.athrow(Boom())
    assert cleaned == [first]
    (span,) = telemetry.spans
    assert span.status.status_code is (StatusCode.UNSET if how == "aclose" else StatusCode.ERROR)


async def test_nothing_leaks_to_the_consumer_between_steps(telemetry: Telemetry) -> None:
    """Neither ID nor span of the generator is current in the body of `async for`, or in tasks made there."""

    async def sees() -> tuple[str | None, bool]:
        return current_request_id(), trace.get_current_span().get_span_context().is_valid

    async for _ in async_generator():
        assert await asyncio.create_task(sees()) == (None, False)
    with bind_request_id("consumer"):
        async for value in async_generator():
            assert value == "consumer"


async def test_steps_in_other_tasks_keep_the_id() -> None:
    """Each step in a task of its own: one ID, also when the generator began inside a request."""
    running = async_generator()
    step = functools.partial(anext, running)

    async def next_value() -> str | None:
        value: str | None = await step()
        return value

    with bind_request_id("req-1"):
        assert await asyncio.create_task(next_value()) == "req-1"
    assert await asyncio.create_task(next_value()) == "req-1"


async def test_a_generator_cancelled_in_a_step(telemetry: Telemetry) -> None:
    """Cancellation reaches the generator's own code and ends the span without an error."""
    reached: Seen = []

    @ensure_request_id
    async def run() -> AsyncIterator[int]:
        yield 1
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            reached.append(current_request_id())
            raise

    async def consume() -> None:
        async for _ in run():
            pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert request_id.is_acceptable(reached[0])
    (span,) = telemetry.spans
    assert span.status.status_code is StatusCode.UNSET


async def test_concurrent_tasks_do_not_mix(telemetry: Telemetry) -> None:
    """300 runs at once of all kinds: each sees one ID, its own."""

    async def run() -> Seen:
        seen: Seen = []
        async for value in async_generator():
            seen.append(value)
            await asyncio.sleep(0)
        return seen

    runs = await asyncio.gather(*(run() for _ in range(200)), *(all_seen(coroutine) for _ in range(100)))
    assert all(len(set(seen)) == 1 for seen in runs)
    assert len({seen[0] for seen in runs}) == 300
    assert len(telemetry.spans) == 300
    assert {(span.attributes or {})["backendai.request.id"] for span in telemetry.spans} == {seen[0] for seen in runs}
