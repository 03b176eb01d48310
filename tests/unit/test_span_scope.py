# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A span around one call that goes on later."""

import asyncio
import gc
import warnings

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, get_current_span

from otel_backendai.hops.span_scope import SpanScope
from tests.conftest import Telemetry


def scope_of(telemetry: Telemetry) -> SpanScope:
    """One that opens a span."""
    return SpanScope(telemetry.provider.get_tracer("t"), "call", SpanKind.PRODUCER, Context())


async def test_a_coroutine_that_is_handed_out_runs_in_the_scope(telemetry: Telemetry) -> None:
    """The span is current in it and ends with it."""

    async def work() -> int:
        await asyncio.sleep(0)
        return get_current_span().get_span_context().span_id

    with scope_of(telemetry) as scope:
        coroutine = scope.continued_by(work())
    assert not telemetry.spans
    span_id = await asyncio.create_task(coroutine)
    (span,) = telemetry.spans
    assert span.context is not None
    assert span.context.span_id == span_id


async def test_a_coroutine_that_is_cancelled_before_its_first_step(telemetry: Telemetry) -> None:
    """No span, and no warning that something was never awaited: without us there is none either."""

    async def work() -> None:
        await asyncio.sleep(0)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with scope_of(telemetry) as scope:
            task = asyncio.create_task(scope.continued_by(work()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        gc.collect()
    assert not caught
    assert not telemetry.spans
