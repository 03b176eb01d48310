# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What is left of headers from outside before OpenTelemetry's own propagators, which quote in the log, see them."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_backendai.propagators import w3c

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

# Nearly well-formed: what the grammars of two implementations may judge differently.
words = st.text('aZ9_-*/@%. "\\;=,\t\xff\ud800', max_size=12)
members = st.tuples(words, st.sampled_from(["=", " = ", "", ";"]), words).map("".join)
lists = st.one_of(words, st.lists(members, max_size=8).map(",".join), st.lists(words, max_size=8).map(" , ".join))


class Lines(logging.Handler):
    """Keeps what is logged while it is attached to the root logger."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message."""
        self.texts.append(record.getMessage())

    def __enter__(self) -> "Lines":
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


@given(lists)
def test_baggage_that_is_left_is_quoted_nowhere(header: str) -> None:
    """Whatever comes in: the stock propagator reads what is left without a word, and reads what an RPC's body says."""
    with Lines() as lines:
        found = W3CBaggagePropagator().extract({"baggage": w3c.well_formed_baggage(header)}, Context())
    assert not lines.texts
    if header.isascii() and header.isprintable():  # a body's has to be as a whole
        assert baggage.get_all(found) == baggage.get_all(w3c.extract(({"baggage": header},), Context()))


@given(lists)
def test_a_trace_state_that_is_taken_is_quoted_nowhere(header: str) -> None:
    """In RPC bodies and events as in HTTP headers."""
    with Lines() as lines:
        w3c.extract(({"traceparent": TRACEPARENT, "tracestate": header},), Context())
    assert not lines.texts


LONG = "v" * 4000


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("a=1, b=2 ,c=3;ttl=1", "a=1,b=2,c=3"),
        (f"a={LONG},b={LONG},c={LONG},d=1", f"a={LONG},b={LONG}"),
        (f"a={'v' * 4096},b=2", "b=2"),
        (",".join(f"k{number}=1" for number in range(200)), ",".join(f"k{number}=1" for number in range(180))),
        ('a="1",b=2', "b=2"),
        ("", ""),
    ],
    ids=["properties", "all too long", "one too long", "too many", "one ill-formed", "empty"],
)
def test_baggage_within_the_limits(header: str, kept: str) -> None:
    """Those of W3C: what is beyond them is left out by us, and quoted by the stock propagator in the log."""
    assert w3c.well_formed_baggage(header) == kept
    with Lines() as lines:
        W3CBaggagePropagator().extract({"baggage": kept}, Context())
    assert not lines.texts


def test_one_member_only() -> None:
    """From callers that nobody vouches for: ours, and it is found among any others."""
    assert w3c.well_formed_baggage('x="1",tenant=blue,backendai.request.id=r', "backendai.request.id") == (
        "backendai.request.id=r"
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("rojo=00f067aa0ba902b7,t61rcwkgmze@v=x:1/2", True),
        ("a=1,,b=2", True),
        ("a=1,a=2", False),
        ("9a=1", False),
        ("A=1", False),
        (f"a={'v' * 256}", True),
        (f"a={'v' * 257}", False),
        (",".join(f"k{number}=1" for number in range(33)), False),
        (f"a={'v' * 250},b={'v' * 250},c={'v' * 250}", False),
    ],
)
def test_which_trace_states_are_taken(header: str, expected: bool) -> None:
    """Exactly those that the stock propagator reads in full, with its parent in any case."""
    with Lines() as lines:
        found = w3c.extract(({"traceparent": TRACEPARENT, "tracestate": header},), Context())
    assert not lines.texts
    span_context = get_current_span(found).get_span_context()
    assert span_context.is_valid
    assert bool(span_context.trace_state) is expected
    if expected:
        stock = TraceContextTextMapPropagator().extract({"traceparent": TRACEPARENT, "tracestate": header})
        assert get_current_span(stock).get_span_context().trace_state == span_context.trace_state
