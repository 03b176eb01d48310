# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Request ID and trace in a Callosum RPC body."""

import copy
import logging
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Setter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from otel_backendai import request_id
from otel_backendai.propagators.rpc_body import RpcBodyPropagator, extract_rpc_body, inject_rpc_body
from tests.unit.hostile import RaisingMapping, Table, Text, any_value
from tests.unit.test_request_id import acceptable

PROPAGATOR = RpcBodyPropagator()
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER_TRACEPARENT = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01"


def traced(context: Context | None = None) -> Context:
    """A context in a remote trace, with a trace state."""
    span = SpanContext(
        int("0af7651916cd43dd8448eb211c80319c", 16),
        int("b7ad6b7169203331", 16),
        True,
        TraceFlags(TraceFlags.SAMPLED),
        TraceState([("vendor", "x")]),
    )
    return trace.set_span_in_context(NonRecordingSpan(span), Context() if context is None else context)


def full(value: str = "req-1") -> Context:
    """Request ID, other baggage, trace and trace state."""
    return traced(request_id.bind(value, baggage.set_baggage("tenant", "blue", Context())))


def injected(body: Any, context: Context | None = None) -> Any:
    """The body as it is sent."""
    return inject_rpc_body(body, full() if context is None else context)


def trace_of(context: Context) -> str:
    """The span ID that ``context`` continues; zeros if none."""
    return trace.format_span_id(trace.get_current_span(context).get_span_context().span_id)


@given(acceptable, st.dictionaries(st.text("abcdef", min_size=1), st.text(max_size=50), max_size=3))
def test_round_trip(value: str, entries: dict[str, str]) -> None:
    """Request ID, baggage, trace and trace state come out as they went in, also through strict msgpack."""
    context = traced(request_id.bind(value, Context()))
    for name, entry in entries.items():
        context = baggage.set_baggage(name, entry.strip(), context)
    body = {"args": ["a"], "kwargs": {"k": 1}}
    sent = inject_rpc_body(body, context)
    packed = msgpack.packb(sent, strict_types=True)
    found = extract_rpc_body(msgpack.unpackb(packed))
    assert request_id.read(found) == value
    assert {k: v for k, v in baggage.get_all(found).items() if v} == {
        k: v for k, v in baggage.get_all(context).items() if v
    }
    span = trace.get_current_span(found).get_span_context()
    expected = trace.get_current_span(context).get_span_context()
    assert (span.trace_id, span.span_id, span.trace_flags) == (
        expected.trace_id,
        expected.span_id,
        expected.trace_flags,
    )
    assert dict(span.trace_state) == {"vendor": "x"}


def test_the_layout() -> None:
    """V3 `headers` with four names, V2 `request_id` at the top, everything else untouched."""
    sent = injected({"args": ["a"], "kwargs": {}})
    assert sent == {
        "args": ["a"],
        "kwargs": {},
        "request_id": "req-1",
        "headers": {
            "request_id": "req-1",
            "traceparent": TRACEPARENT,
            "tracestate": "vendor=x",
            "baggage": "tenant=blue,backendai.request.id=req-1",
        },
    }


def test_without_native_metadata_there_is_none() -> None:
    """`metadata` belongs to Backend.AI: it is never created."""
    assert "metadata" not in injected({"args": ()})


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        ({}, {}),
        ({"user": {"id": 1}}, {"user": {"id": 1}}),
        ({"request_id": None}, {"request_id": "req-1"}),
        ({"request_id": "stale", "x": 1}, {"request_id": "req-1", "x": 1}),
        ({"traceparent": None}, {"traceparent": TRACEPARENT}),
        ({"traceparent": OTHER_TRACEPARENT, "request_id": ""}, {"traceparent": TRACEPARENT, "request_id": "req-1"}),
    ],
)
def test_native_metadata_is_made_true_and_gets_no_new_key(native: dict[str, Any], expected: dict[str, Any]) -> None:
    """Its two fields name our span and request where the release has them; a key that it lacks crashes releases."""
    body = {"args": (), "metadata": native}
    before = copy.deepcopy(body)
    sent = injected(body)
    assert sent["metadata"] == expected
    assert body == before
    assert sent["metadata"] is not native


def test_metadata_is_left_as_it_is_where_we_have_nothing_true_to_say() -> None:
    """Without a span of ours its traceparent stays; without a request its request ID stays."""
    native = {"request_id": "theirs", "traceparent": OTHER_TRACEPARENT}
    body = {"args": (), "metadata": native}
    assert injected(body, request_id.bind("req-1", Context()))["metadata"] == {**native, "request_id": "req-1"}
    assert injected(body, traced())["metadata"] == {**native, "traceparent": TRACEPARENT}
    assert injected(body, Context()) is body


@pytest.mark.parametrize("native", [None, 5, "text", [1], Table(request_id=None), b"x"], ids=repr)
def test_metadata_of_another_type_is_left_alone(native: Any) -> None:
    """Only a plain dict is understood."""
    assert injected({"args": (), "metadata": native})["metadata"] is native


def test_what_the_application_set_itself_is_kept() -> None:
    """Its own headers and its own top-level request ID win over ours."""
    sent = injected({"args": (), "headers": {"request_id": "own", "other": 1}, "request_id": "own"})
    assert sent["request_id"] == "own"
    assert sent["headers"]["request_id"] == "own"
    assert sent["headers"]["other"] == 1
    assert sent["headers"]["traceparent"] == TRACEPARENT


def test_an_empty_field_of_the_application_is_filled() -> None:
    """A `None` is no value that it set: a V2 peer must at least get the request ID."""
    sent = injected({"args": (), "request_id": None, "headers": {"request_id": None, "traceparent": None}})
    assert sent["request_id"] == "req-1"
    assert sent["headers"]["request_id"] == "req-1"
    assert sent["headers"]["traceparent"] == TRACEPARENT


def test_foreign_trace_context_is_not_mixed_with_ours() -> None:
    """A trace state belongs to its trace parent: beside the application's own traceparent ours is not sent."""
    sent = injected({"args": (), "headers": {"traceparent": OTHER_TRACEPARENT}})
    assert sent["headers"]["traceparent"] == OTHER_TRACEPARENT
    assert "tracestate" not in sent["headers"]


@pytest.mark.parametrize("headers", [5, "text", ["a"], Table(a=1), b"x"], ids=repr)
def test_headers_of_another_type_are_left_alone(headers: Any) -> None:
    """They are not ours; the V2 field still carries the ID."""
    sent = injected({"args": (), "headers": headers})
    assert sent["headers"] is headers
    assert sent["request_id"] == "req-1"


@any_value
def test_other_bodies_are_returned_themselves(make: Callable[[], Any]) -> None:
    """Only a plain dict with `args` is a body; the deep one is one, and is not walked."""
    body = make()
    sent = injected(body)
    if type(body) is dict and "args" in body:
        assert sent["request_id"] is body["request_id"]
    else:
        assert sent is body


@pytest.mark.parametrize("body", [Table(args=()), {"kwargs": {}}, {b"args": ()}, {}], ids=repr)
def test_subclasses_and_other_layouts_are_no_body(body: Any) -> None:
    """Nothing is added to what strict msgpack would refuse anyway, or what another protocol sends."""
    before = dict(body)
    assert injected(body) is body
    assert body == before


def test_only_exact_types_go_out() -> None:
    """A str or dict subclass anywhere in what we add makes Callosum drop the message, and the caller waits for ever."""
    context = traced(baggage.set_baggage(Text("tenant"), Text("blue"), Context()))
    for bound in (
        request_id.bind("req-1", context),
        baggage.set_baggage("backendai.request.id", Text("req-2"), context),
    ):
        sent = injected({"args": (), "metadata": {"request_id": Text("x"), "traceparent": Text("y")}}, bound)
        for table in (sent, sent["headers"]):
            assert type(table) is dict
            assert all(type(name) is str for name in table)
        assert all(type(value) is str for value in sent["headers"].values())
        assert type(sent.get("request_id", "")) is str
        assert type(sent["metadata"]) is dict
        assert type(sent["metadata"]["traceparent"]) is str
        assert "req-2" not in sent


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=20) | st.binary(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["args", "headers", "metadata", "request_id", "traceparent", "x"]), inner)
        ),
        max_leaves=12,
    )
)
def test_no_body_is_ever_changed(body: Any) -> None:
    """The caller's object, and everything in it, is as before; extraction and injection raise for none."""
    before = copy.deepcopy(body)
    sent = inject_rpc_body(body, full())
    extract_rpc_body(body)
    extract_rpc_body(sent)
    assert body == before
    if isinstance(sent, dict) and sent is not body:
        assert set(sent) - set(body) <= {"headers", "request_id"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"headers": {"request_id": "h"}, "metadata": {"request_id": "m"}, "request_id": "t"}, "h"),
        ({"headers": {"request_id": "a b"}, "metadata": {"request_id": "m"}, "request_id": "t"}, "m"),
        ({"headers": {}, "metadata": {"request_id": None}, "request_id": "t"}, "t"),
        ({"request_id": "t"}, "t"),
        ({"request_id": b"t"}, "t"),
        ({b"request_id": b"t"}, "t"),
        ({"headers": {b"request_id": b"h"}}, "h"),
        ({"headers": {"baggage": "backendai.request.id=b"}}, "b"),
        ({"headers": {"baggage": "backendai.request.id=b"}, "request_id": "t"}, "t"),
        ({"headers": {"baggage": "backendai.request.id=a%20b"}}, None),
        ({"request_id": Text("t")}, None),
    ],
)
def test_the_order_of_sources(body: dict[Any, Any], expected: str | None) -> None:
    """`headers`, `metadata`, top level, baggage: the first acceptable one wins, as text or bytes."""
    found = extract_rpc_body({"args": (), **body})
    assert request_id.read(found) == expected
    assert baggage.get_baggage("backendai.request.id", found) == expected


def test_the_trace_comes_from_headers_else_from_native_metadata() -> None:
    """A 26.9 peer without the plugin is continued; with the plugin its CLIENT span is."""
    native = {"metadata": {"traceparent": OTHER_TRACEPARENT}}
    assert trace_of(extract_rpc_body(native)) == "b7ad6b7169203332"
    assert trace_of(extract_rpc_body({**native, "headers": {"traceparent": TRACEPARENT}})) == "b7ad6b7169203331"
    assert trace_of(extract_rpc_body({**native, "headers": {"traceparent": 5}})) == "b7ad6b7169203332"
    assert trace_of(extract_rpc_body({**native, "headers": {"traceparent": None}})) == "b7ad6b7169203332"
    assert trace_of(extract_rpc_body({"headers": {"traceparent": b"" + TRACEPARENT.encode()}})) == "b7ad6b7169203331"


@any_value
def test_hostile_bodies(make: Callable[[], Any]) -> None:
    """Whatever stands in a body or in its place: no exception, and the same context when nothing is found."""
    context = Context({"kept": 1})
    value = make()
    bodies: list[Any] = [
        value,
        {"args": value},
        {"args": (), "headers": value},
        {"args": (), "metadata": value},
        {"args": (), "request_id": value},
        {"args": (), "headers": dict.fromkeys(("request_id", "traceparent", "tracestate", "baggage"), value)},
        {"args": (), "headers": {b"traceparent": value, b"baggage": value}},
        {"args": (), "metadata": dict.fromkeys(("request_id", "traceparent"), value)},
    ]
    for position, body in enumerate(bodies):
        if isinstance(value, dict) and value.get("request_id") == "nested" and position in (0, 2, 3):
            assert request_id.read(extract_rpc_body(body, context)) == "nested"
            continue
        assert extract_rpc_body(body, context) is context, position


def test_a_mapping_that_raises() -> None:
    """The documented promise, never raises, holds for a body whose methods raise, at any place of it."""
    for body in (
        RaisingMapping(),
        {"args": (), "headers": RaisingMapping()},
        {"args": (), "metadata": RaisingMapping()},
    ):
        context = Context({"kept": 1})
        assert extract_rpc_body(body, context) is context


@pytest.mark.usefixtures("lenient")
def test_baggage_that_cannot_be_rendered_costs_the_call_nothing() -> None:
    """A value whose text raises is the application's own: the rest, at least the request ID, still travels."""

    class Unprintable:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    context = baggage.set_baggage("broken", Unprintable(), full())
    sent: Any = inject_rpc_body({"args": ()}, context)
    assert sent["request_id"] == "req-1"


def test_too_long_fields_are_ignored() -> None:
    """Megabytes are not parsed: the ID still counts."""
    headers = {"request_id": "req-1", "baggage": "a=" + "x" * 5_000_000, "tracestate": "x" * 5_000_000}
    found = extract_rpc_body({"args": (), "headers": headers})
    assert request_id.read(found) == "req-1"
    assert dict(baggage.get_all(found)) == {"backendai.request.id": "req-1"}


def test_hostile_text_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A hostile request ID is never logged raw, whichever field of a body brought it."""
    evil = "evil\nFAKE LOG LINE"
    headers = {"request_id": evil, "baggage": f"backendai.request.id={evil}", "traceparent": evil, "tracestate": evil}
    with caplog.at_level(logging.DEBUG):
        extract_rpc_body({"args": (), "headers": headers, "metadata": headers, "request_id": evil})
    assert "FAKE" not in caplog.text


def test_extraction_starts_from_nothing() -> None:
    """Handlers run in the start-up context: by default nothing ambient is in what comes out."""
    token = context_api.attach(full("ambient"))
    try:
        found = extract_rpc_body({"args": (), "headers": {"traceparent": TRACEPARENT, "baggage": "a=b"}})
        assert dict(baggage.get_all(found)) == {"a": "b"}
        assert dict(extract_rpc_body({"args": ()})) == {}
        assert dict(extract_rpc_body(None)) == {}
        assert dict(PROPAGATOR.extract({"args": ()})) == {}
    finally:
        context_api.detach(token)


def test_the_propagator_writes_its_fields_and_no_other_key() -> None:
    """As a propagator it writes into the body through the setter; ``fields`` is complete."""
    written: list[str] = []

    class Recording(Setter[dict[str, Any]]):
        def set(self, carrier: dict[str, Any], key: str, value: Any) -> None:
            written.append(key)
            carrier[key] = value

    body: dict[str, Any] = {"args": (), "kwargs": None, "request_id": None}
    PROPAGATOR.inject(body, full(), Recording())
    assert set(written) == PROPAGATOR.fields
    assert request_id.read(PROPAGATOR.extract(body)) == "req-1"
    assert trace_of(PROPAGATOR.extract(body)) == "b7ad6b7169203331"


def test_the_propagator_leaves_other_carriers_alone() -> None:
    """HTTP headers and event fields are not bodies."""
    for carrier in ({"Host": "x"}, {"name": "x", "payload": b""}, Table(args=())):
        before = dict(carrier)
        PROPAGATOR.inject(carrier, full())
        assert carrier == before
        context = Context({"kept": 1})
        assert PROPAGATOR.extract(carrier, context) is context


@pytest.mark.parametrize("hostile", ["\udcff", "", "a b", "a" * 3000, 7, b"req-1", Text("req-1")])
@pytest.mark.parametrize("context", [Context(), traced(), full()], ids=["nothing", "trace", "request ID"])
def test_a_hostile_request_id_leaves_the_applications_metadata(hostile: object, context: Context) -> None:
    """A lone surrogate there makes the message vanish and the caller wait for ever: out, whatever else is carried."""
    body = {"args": [], "kwargs": {}, "metadata": {"request_id": hostile, "user": {"id": 1}, "traceparent": None}}
    before = copy.deepcopy(body)
    sent = injected(body, context)
    assert body == before
    assert sent["metadata"]["request_id"] == request_id.read(context)
    assert sent["metadata"]["user"] == {"id": 1}
    msgpack.packb(sent, strict_types=True)


def test_an_application_that_names_a_request_keeps_it() -> None:
    """With nothing of ours to carry the very body is sent."""
    body = {"args": (), "kwargs": {}, "metadata": {"request_id": "req-own", "traceparent": None}}
    assert injected(body, Context()) is body
