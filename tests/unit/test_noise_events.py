# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Events that make no spans, in applications of our API as well as in Backend.AI."""

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from otel_backendai.api import bind_request_id, current_request_id, handling_event
from otel_backendai.hops.event_spans import Delivery, is_producing, producer_scope, sharing_scope
from otel_backendai.hops.noise import NOISE_EVENTS, is_noise_event
from otel_backendai.propagators.event_metadata import render_event_field
from tests.conftest import Telemetry


def test_real_work_is_no_noise() -> None:
    """What users wait for makes spans: sessions, kernels, folders, terminations that were asked for."""
    for name in ("session_started", "kernel_terminated", "do_terminate_session", "vfolder_clone_success"):
        assert not is_noise_event(name)
    assert is_noise_event("agent_heartbeat")


@pytest.mark.parametrize("name", sorted(NOISE_EVENTS))
def test_noise_has_a_request_id_and_no_spans(telemetry: Telemetry, name: str) -> None:
    """A tick is given a request ID where it is sent; it shows when its handler finds something to do, under that ID."""
    with producer_scope(name):
        minted = current_request_id()
        fields = {"name": name, "args": "", "otel": render_event_field()}
    assert minted is not None
    with handling_event(name, fields):
        assert current_request_id() == minted
    assert not telemetry.spans
    with handling_event(name, fields), producer_scope("session_started"):
        pass
    sent, tick = telemetry.of_kind(SpanKind.PRODUCER) + telemetry.of_kind(SpanKind.CONSUMER)
    assert tick.parent is None
    assert sent.parent is not None
    assert tick.context is not None
    assert sent.parent.span_id == tick.context.span_id
    for span in (sent, tick):
        assert span.attributes is not None
        assert span.attributes["backendai.request.id"] == minted


def test_noise_inside_a_request_continues_it(telemetry: Telemetry) -> None:
    """A tick that a request sends makes no span of its own, and its handler's work is below the request's span."""
    tracer = telemetry.provider.get_tracer("test")
    with bind_request_id("req-1"), tracer.start_as_current_span("request") as request, producer_scope("do_schedule"):
        fields = {"name": "do_schedule", "args": "", "otel": render_event_field()}
    with handling_event("do_schedule", fields):
        assert trace.get_current_span().get_span_context().span_id == request.get_span_context().span_id
        assert current_request_id() == "req-1"
    assert [span.name for span in telemetry.spans] == ["request"]


def test_events_that_belong_together_share_a_new_request_id(telemetry: Telemetry) -> None:
    """Each PRODUCER span says that the ID is its sender's own; outside of the scope nothing is left of it."""
    with sharing_scope():
        for name in ("a", "b"):
            with producer_scope(name):
                assert is_producing()
    assert not is_producing()
    attributes = [span.attributes or {} for span in telemetry.of_kind(SpanKind.PRODUCER)]
    assert len({values["backendai.request.id"] for values in attributes}) == 1
    assert [values["backendai.request.origin.detail"] for values in attributes] == ["event", "event"]


def test_a_run_for_several_senders_is_linked_to_each_once(telemetry: Telemetry) -> None:
    """Two of three messages are of one sender; the run is in nobody's trace, under nobody's request ID."""
    deliveries = []
    tracer = telemetry.provider.get_tracer("test")
    for name in ("first", "second"):
        with bind_request_id(f"req-{name}"), tracer.start_as_current_span(name):
            deliveries.append(Delivery("scheduling", {"name": "scheduling", "args": "", "otel": render_event_field()}))
    first, last = deliveries
    with last.scope({"backendai.session.id": "of-the-last"}, coalesced=[first, first]):
        assert current_request_id() not in ("req-first", "req-second", None)
    consumer = telemetry.only(SpanKind.CONSUMER)
    assert consumer.parent is None
    assert [link.context.span_id for link in consumer.links] == [first.sender.span_id, last.sender.span_id]
    assert "backendai.session.id" not in (consumer.attributes or {})


def test_a_run_for_several_messages_of_one_request_is_its_own(telemetry: Telemetry) -> None:
    """In one trace it stays there, below the last sender and linked to the others; of several it is linked."""
    tracer = telemetry.provider.get_tracer("test")
    deliveries = []
    with bind_request_id("req-1"):
        with tracer.start_as_current_span("root"):
            for name in ("first", "second"):
                with tracer.start_as_current_span(name):
                    fields = {"name": "scheduling", "args": "", "otel": render_event_field()}
                    deliveries.append(Delivery("scheduling", fields))
        with tracer.start_as_current_span("elsewhere"):
            fields = {"name": "scheduling", "args": "", "otel": render_event_field()}
            deliveries.append(Delivery("scheduling", fields))
    first, second, elsewhere = deliveries
    with second.scope(coalesced=[first]):
        assert current_request_id() == "req-1"
    consumer = telemetry.only(SpanKind.CONSUMER)
    assert consumer.parent is not None
    assert consumer.parent.span_id == second.sender.span_id
    assert [link.context.span_id for link in consumer.links] == [first.sender.span_id]
    telemetry.exporter.clear()
    with elsewhere.scope(coalesced=[first]):
        assert current_request_id() == "req-1"
    consumer = telemetry.only(SpanKind.CONSUMER)
    assert consumer.parent is None
    assert len(consumer.links) == 2
