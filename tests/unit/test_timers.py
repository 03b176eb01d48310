# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Timers of aiotools: each tick is a request of its own."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import aiotools
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from otel_backendai import request_id
from otel_backendai.api import bind_request_id, current_request_id
from otel_backendai.hops import background
from tests.conftest import Telemetry

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiotools")


async def ticks(callback: Callable[[float], Awaitable[None]], enough: asyncio.Event, **options: Any) -> object:
    """Run a timer until ``enough`` (5 s at the most); returns how the timer's task ended."""
    timer = aiotools.create_timer(callback, 0.01, **options)  # type: ignore[arg-type]  # an awaitable is enough
    waiting = asyncio.ensure_future(enough.wait())
    await asyncio.wait({timer, waiting}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    early = timer.done()
    timer.cancel()
    (outcome,) = await asyncio.gather(timer, return_exceptions=True)
    return early, type(outcome)


async def test_each_tick_has_its_own_root_and_id(telemetry: Telemetry) -> None:
    """One INTERNAL root span per tick, named after the function, and an ID that no other tick has."""
    seen: list[str | None] = []
    enough = asyncio.Event()

    async def observe(interval: float) -> None:
        seen.append(current_request_id())
        if len(seen) >= 4:
            enough.set()

    await ticks(observe, enough)
    assert len(set(seen)) == len(seen) >= 4
    assert all(map(request_id.is_acceptable, seen))
    spans = telemetry.spans
    assert len(spans) == len(seen)
    assert len({span.context.trace_id for span in spans if span.context}) == len(spans)
    for span, value in zip(spans, seen, strict=True):
        assert span.kind is SpanKind.INTERNAL
        assert span.parent is None
        assert span.attributes is not None
        assert span.attributes["backendai.request.id"] == value
        assert span.attributes["backendai.request.origin.detail"] == "background"
        assert span.name == span.attributes["code.function.name"] == observe.__qualname__


async def test_a_tick_sees_nothing_of_who_made_the_timer(telemetry: Telemetry) -> None:
    """A timer that a request starts does not work for that request for ever."""
    seen: list[str | None] = []
    enough = asyncio.Event()

    async def observe(interval: float) -> None:
        seen.append(current_request_id())
        if len(seen) >= 2:
            enough.set()

    with bind_request_id("starter"), telemetry.provider.get_tracer("t").start_as_current_span("starter"):
        await ticks(observe, enough)
        assert current_request_id() == "starter"
    assert "starter" not in seen
    assert all(span.parent is None for span in telemetry.spans)


@pytest.mark.parametrize("kind", ["partial", "method", "object", "keyword"])
async def test_callables_of_every_kind(kind: str, telemetry: Telemetry) -> None:
    """Backend.AI passes methods, partials and functions, and the arguments arrive as they are."""
    enough = asyncio.Event()
    intervals: list[float] = []

    class Worker:
        async def work(self, interval: float) -> None:
            intervals.append(interval)
            enough.set()

        __call__ = work

    async def with_arguments(more: str, interval: float) -> None:
        await Worker().work(interval)

    callbacks: dict[str, Any] = {
        "partial": functools.partial(with_arguments, "x"),
        "method": Worker().work,
        "object": Worker(),
        "keyword": Worker().work,
    }
    if kind == "keyword":
        timer = aiotools.create_timer(cb=callbacks[kind], interval=0.01)
        await asyncio.wait_for(enough.wait(), 5)
        timer.cancel()
        await asyncio.gather(timer, return_exceptions=True)
    else:
        await ticks(callbacks[kind], enough)
    assert set(intervals) == {0.01}
    names = {span.name.rpartition(".")[2] for span in telemetry.spans}
    assert names == {{"partial": "with_arguments", "object": "Worker"}.get(kind, "work")}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_exceptions_do_what_they_do_without_us() -> None:
    """A failing tick ends or does not end the timer as in this version of aiotools alone; its span says why."""

    async def run() -> tuple[object, bool]:
        count = 0
        enough = asyncio.Event()

        async def fail(interval: float) -> None:
            nonlocal count
            count += 1
            if count >= 3:
                enough.set()
            raise KeyError("tick")

        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        return await ticks(fail, enough), count >= 3

    assert not background.HOP.active
    without = await run()
    telemetry = Telemetry()
    background.HOP.install(telemetry.provider)
    try:
        assert await run() == without
    finally:
        background.HOP.uninstall()
    for span in telemetry.spans:
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes or {})["error.type"] == "KeyError"


async def test_a_cancelled_tick_is_no_failure(telemetry: Telemetry) -> None:
    """With the policy CANCEL a slow tick is cancelled by the next one: its span ends without an error."""
    enough = asyncio.Event()
    started = 0

    async def slow(interval: float) -> None:
        nonlocal started
        started += 1
        if started >= 3:
            enough.set()
        await asyncio.sleep(30)

    await ticks(slow, enough, delay_policy=aiotools.TimerDelayPolicy.CANCEL)
    assert len(telemetry.spans) == started
    assert {span.status.status_code for span in telemetry.spans} == {StatusCode.UNSET}


async def test_overlapping_ticks_do_not_mix(telemetry: Telemetry) -> None:
    """Slow ticks run side by side, each under its own ID from start to end."""
    pairs: list[tuple[str | None, str | None]] = []
    enough = asyncio.Event()

    async def slow(interval: float) -> None:
        first = current_request_id()
        await asyncio.sleep(0.05)
        pairs.append((first, current_request_id()))
        if len(pairs) >= 5:
            enough.set()

    await ticks(slow, enough)
    assert len(pairs) >= 5
    assert all(first == last for first, last in pairs)
    assert len({first for first, _ in pairs}) == len(pairs)


async def test_a_timer_outlives_the_hop() -> None:
    """Switched off while a timer runs, its ticks go on without us."""
    telemetry = Telemetry()
    background.HOP.install(telemetry.provider)
    seen: list[str | None] = []
    enough = asyncio.Event()

    async def observe(interval: float) -> None:
        seen.append(current_request_id())
        background.HOP.uninstall()
        if len(seen) >= 3:
            enough.set()

    await ticks(observe, enough)
    assert seen[0] is not None
    assert set(seen[1:]) == {None}
    assert len(telemetry.spans) == 1
