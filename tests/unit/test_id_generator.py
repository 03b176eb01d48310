# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Trace and span IDs of our own randomness."""

import inspect
import random

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.id_generator import IdGenerator

from otel_backendai.sdk.id_generator import PrivateRandomIdGenerator
from tests.unit.test_resource import in_child

GENERATOR = PrivateRandomIdGenerator()


def pair() -> list[int]:
    """One trace ID, one span ID."""
    return [GENERATOR.generate_trace_id(), GENERATOR.generate_span_id()]


def test_ids_are_valid_and_random() -> None:
    """Of the right width, never zero, never the same."""
    traces = [GENERATOR.generate_trace_id() for _ in range(5_000)]
    spans = [GENERATOR.generate_span_id() for _ in range(5_000)]
    assert len(set(traces)) == len(set(spans)) == 5_000
    assert all(0 < value <= trace.span._TRACE_ID_MAX_VALUE for value in traces)
    assert all(0 < value <= trace.span._SPAN_ID_MAX_VALUE for value in spans)
    # The lower 56 bits are what `is_trace_id_random` promises.
    assert len({value & (2**56 - 1) for value in traces}) == 5_000
    assert GENERATOR.is_trace_id_random() is True


def test_an_application_that_seeds_random_does_not_matter() -> None:
    """`random.seed(0)` in every worker gives the stock generator the same trace IDs everywhere."""
    state = random.getstate()
    try:
        drawn = []
        for _ in range(3):
            random.seed(0)
            drawn.append(tuple(pair()))
        assert len(set(drawn)) == 3
        random.seed(0)
        expected = random.random()  # noqa: S311  # no secret
        random.seed(0)
        pair()
        assert random.random() == expected, "nor do we take from its sequence"  # noqa: S311  # no secret
    finally:
        random.setstate(state)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_children_differ() -> None:
    """Workers do not go on with their parent's sequence, also when it was used just before."""
    pair()
    children = [tuple(in_child(lambda: [pair(), pair()])[0]) for _ in range(4)]
    children.append(tuple(pair()))
    assert len(set(children)) == 5


def test_the_interface_is_that_of_the_sdk() -> None:
    """Drift: all methods of IdGenerator are ours."""
    for name, _ in inspect.getmembers(IdGenerator, inspect.isfunction):
        assert name in vars(PrivateRandomIdGenerator), name
