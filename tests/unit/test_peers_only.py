# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The global propagator while HTTP out is active."""

from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry import context as context_api
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_backendai import request_id
from otel_backendai.propagators.http_headers import HttpHeadersPropagator
from otel_backendai.propagators.peers_only import (
    TO_THIRD_PARTY,
    Outbound,
    PeersOnlyPropagator,
    current_outbound,
    with_outbound,
)
from tests.conftest import Telemetry
from tests.unit.test_propagators_rpc import full, trace_of

STOCK = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
W3C = {"traceparent", "tracestate", "baggage"}
OURS = {"X-Request-ID", "X-BackendAI-RequestID"}


def sent(propagator: TextMapPropagator, context: Context) -> dict[str, str]:
    """The headers that a call in ``context`` gets."""
    carrier: dict[str, str] = {}
    propagator.inject(carrier, context)
    return carrier


def test_outside_of_an_outbound_call_it_is_the_users() -> None:
    """Other instrumentations, a message queue's, see no difference."""
    assert sent(PeersOnlyPropagator(STOCK), full()) == sent(STOCK, full())


def test_a_third_party_gets_nothing() -> None:
    """Neither request ID nor trace nor baggage, whatever the user's propagators are."""
    for wrapped in (STOCK, CompositePropagator([STOCK, HttpHeadersPropagator()])):
        assert sent(PeersOnlyPropagator(wrapped), with_outbound(TO_THIRD_PARTY, full())) == {}


def test_a_peer_gets_everything_once() -> None:
    """The user's fields and our two headers; configured in `OTEL_PROPAGATORS` too, there is no second copy."""
    context = with_outbound(Outbound(to_peer=True), full())
    expected = {**sent(STOCK, full()), **dict.fromkeys(OURS, "req-1")}
    assert sent(PeersOnlyPropagator(STOCK), context) == expected
    with_ours = CompositePropagator([STOCK, HttpHeadersPropagator()])
    assert sent(PeersOnlyPropagator(with_ours), context) == expected
    written: list[str] = []

    class Counting(dict[str, str]):
        def __setitem__(self, key: str, value: str) -> None:
            written.append(key)
            super().__setitem__(key, value)

    PeersOnlyPropagator(with_ours).inject(Counting(), context)
    assert len(written) == len(set(written)) == 5


@pytest.mark.parametrize("name", sorted(W3C | OURS))
def test_what_the_application_set_is_not_overwritten(name: str) -> None:
    """Header names are compared without regard to case."""
    context = with_outbound(Outbound(to_peer=True, set_by_application=frozenset({name.lower()})), full())
    assert set(sent(PeersOnlyPropagator(STOCK), context)) == (W3C | OURS) - {name}


def test_without_user_propagators() -> None:
    """`OTEL_PROPAGATORS=none`: a peer still gets the request ID; extract answers a context, never `None`."""
    propagator = PeersOnlyPropagator(CompositePropagator([]))
    assert propagator.fields == OURS
    assert set(sent(propagator, with_outbound(Outbound(to_peer=True), full()))) == OURS
    assert sent(propagator, full()) == {}
    assert dict(propagator.extract({"X-Request-ID": "x"})) == {}
    context = Context({"kept": 1})
    assert propagator.extract({}, context) is context


def test_extract_is_the_users() -> None:
    """In an empty context by default, never the current one; our headers are read by the HTTP hop, not here."""
    carrier = sent(STOCK, full())
    token = context_api.attach(request_id.bind("ambient", baggage.set_baggage("leak", "yes")))
    try:
        found = PeersOnlyPropagator(STOCK).extract(carrier)
        assert trace_of(found) == "b7ad6b7169203331"
        assert dict(baggage.get_all(found)) == {"tenant": "blue", "backendai.request.id": "req-1"}
        assert dict(PeersOnlyPropagator(STOCK).extract({})) == {}
    finally:
        context_api.detach(token)


def test_fields_are_those_of_both() -> None:
    """Callers clear or reserve fields by this set."""
    assert PeersOnlyPropagator(STOCK).fields == W3C | OURS


class Raising(TextMapPropagator):
    """A user's propagator that fails."""

    @property
    def fields(self) -> set[str]:
        """None."""
        return set()

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = None) -> Context:
        """Raise."""
        raise RuntimeError("extract")

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = None) -> None:
        """Raise."""
        raise RuntimeError("inject")


@pytest.mark.usefixtures("lenient")
def test_a_user_propagator_that_raises_costs_the_call_nothing() -> None:
    """contrib's HTTP client lets what inject raises into the request: it ends here, and a peer still gets the ID."""
    propagator = PeersOnlyPropagator(Raising())
    assert set(sent(propagator, with_outbound(Outbound(to_peer=True), full()))) == OURS
    context = Context({"kept": 1})
    assert propagator.extract({}, context) is context


def test_the_mark_of_an_outbound_call() -> None:
    """It is in the context of that call only; anything else under its key is none."""
    peer = Outbound(to_peer=True)
    context = with_outbound(peer, Context())
    assert current_outbound(context) is peer
    assert current_outbound(Context()) is None
    assert current_outbound() is None
    (key,) = context
    assert current_outbound(Context({key: True})) is None


def test_another_http_client_carries_no_request_id(telemetry: Telemetry) -> None:
    """Where a call of requests or httpx goes is not known: its instrumentation sends the user's baggage, not ours."""
    propagator = PeersOnlyPropagator(CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()]))
    context = baggage.set_baggage("tenant", "blue", request_id.bind("req-1", Context()))
    call = set_span_in_context(telemetry.provider.get_tracer("t").start_span("GET", kind=SpanKind.CLIENT), context)
    sent: dict[str, str] = {}
    propagator.inject(sent, call)
    assert sent["baggage"] == "tenant=blue"
    assert "traceparent" in sent
    message: dict[str, str] = {}
    propagator.inject(message, context)
    assert "req-1" in message["baggage"]


def test_a_call_that_is_not_sampled_carries_no_request_id_either() -> None:
    """Its span does not say that it is one."""
    context = request_id.bind("req-1", Context())
    unsampled = NonRecordingSpan(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(0)))
    assert "baggage" not in sent(PeersOnlyPropagator(STOCK), set_span_in_context(unsampled, context))
    remote = NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(0)))
    assert "baggage" in sent(PeersOnlyPropagator(STOCK), set_span_in_context(remote, context))
