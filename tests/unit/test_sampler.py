# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Sampling by request ID."""

import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from otel_backendai import request_id
from otel_backendai.sdk.sampler import RequestIdRatio, request_id_ratio
from tests.unit.conftest import output_of
from tests.unit.test_request_id import acceptable


def is_kept(sampler: RequestIdRatio, value: str | None, trace_id: int) -> bool:
    """Whether a root span is kept."""
    context = Context() if value is None else request_id.bind(value, Context())
    return sampler.should_sample(context, trace_id, "root").decision is Decision.RECORD_AND_SAMPLE


@given(acceptable, st.floats(0, 1), st.lists(st.integers(1, 2**128 - 1), min_size=2, max_size=5))
def test_all_traces_of_one_request_share_one_decision(value: str, ratio: float, trace_ids: list[int]) -> None:
    """Whatever their trace IDs, and in every process that has the same ratio."""
    decisions = {is_kept(RequestIdRatio(ratio), value, trace_id) for trace_id in trace_ids}
    assert len(decisions) == 1


def test_every_process_decides_alike() -> None:
    """No seed of the process is in it (`hash()` has one)."""
    code = (
        "from otel_backendai.sdk.sampler import RequestIdRatio as R; from otel_backendai import request_id as r;"
        "from opentelemetry.context import Context as C;"
        "print([R(0.5).should_sample(r.bind(f'req-{n}', C()), 1, 'x').decision.value for n in range(64)])"
    )
    answers = {output_of(code, PYTHONHASHSEED=seed) for seed in ("1", "2")}
    assert len(answers) == 1
    assert len(set(answers.pop())) > 3


@pytest.mark.parametrize("ratio", [0.01, 0.1, 0.5, 0.9])
def test_the_ratio_is_kept(ratio: float) -> None:
    """Of 20,000 requests, within five standard deviations; what a low ratio keeps, a higher one keeps."""
    count = 20_000
    ids = [f"request-{number}" for number in range(count)]
    kept = {value for value in ids if is_kept(RequestIdRatio(ratio), value, 1)}
    deviation = (count * ratio * (1 - ratio)) ** 0.5
    assert abs(len(kept) - count * ratio) < 5 * deviation
    assert all(is_kept(RequestIdRatio(min(1.0, ratio * 1.1)), value, 1) for value in kept)


def test_all_and_none() -> None:
    """1.0 keeps everything, 0.0 nothing."""
    for number in range(500):
        assert is_kept(RequestIdRatio(1.0), f"req-{number}", number + 1)
        assert not is_kept(RequestIdRatio(0.0), f"req-{number}", number + 1)


def test_without_a_request_the_trace_id_decides() -> None:
    """About the same share, and the same decision for one trace."""
    generator = random.Random(1)  # noqa: S311  # a fixed sequence, no secrets
    trace_ids = [generator.getrandbits(128) for _ in range(10_000)]
    kept = [trace_id for trace_id in trace_ids if is_kept(RequestIdRatio(0.2), None, trace_id)]
    assert abs(len(kept) - 2_000) < 200
    assert all(is_kept(RequestIdRatio(0.2), None, trace_id) for trace_id in kept)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan"), float("inf"), float("-inf")])
def test_a_ratio_that_is_none_is_refused(ratio: float) -> None:
    """ValueError."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        RequestIdRatio(ratio)


@pytest.mark.parametrize(
    ("argument", "ratio", "warned"),
    [
        (None, "1.0", False),
        ("", "1.0", False),
        ("0", "0.0", False),
        ("0.25", "0.25", False),
        (" 0.5 ", "0.5", False),
        ("1e-3", "0.001", False),
        ("two", "1.0", True),
        ("-1", "1.0", True),
        ("2", "1.0", True),
        ("nan", "1.0", True),
        ("inf", "1.0", True),
    ],
)
def test_the_setting(argument: str | None, ratio: str, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    """`OTEL_TRACES_SAMPLER_ARG`; what is no ratio keeps everything, with one warning, and never stops the process."""
    with caplog.at_level(logging.WARNING):
        sampler = request_id_ratio(argument)
    assert f"BackendAIRequestIdRatio{{{ratio}}}" in sampler.get_description()
    assert bool(caplog.records) is warned


@pytest.mark.parametrize("sampled", [True, False])
def test_a_parent_decides_for_its_children(sampled: bool) -> None:
    """A trace that began elsewhere is neither torn nor begun in the middle."""
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    parent = trace.set_span_in_context(NonRecordingSpan(SpanContext(1, 1, True, flags)), Context())
    for ratio, number in (("0", 1), ("1", 2)):
        context = request_id.bind(f"req-{number}", parent)
        decision = request_id_ratio(ratio).should_sample(context, 1, "child").decision
        assert (decision is Decision.RECORD_AND_SAMPLE) is sampled


def test_in_a_provider() -> None:
    """The SDK of this train takes it: attributes of the span stay, what is dropped is not recorded."""
    for ratio, recording in (("1", True), ("0", False)):
        provider = TracerProvider(
            sampler=request_id_ratio(ratio), id_generator=RandomIdGenerator(), shutdown_on_exit=False
        )
        span = provider.get_tracer("t").start_span(
            "s", context=request_id.bind("req-1", Context()), attributes={"kept": 1}
        )
        assert span.is_recording() is recording
        if recording:
            assert dict(span.attributes or {})["kept"] == 1  # type: ignore[attr-defined]  # the SDK's span
        span.end()
