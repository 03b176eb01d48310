# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Request ID and trace in a message's fields, and in the metadata of applications that use our API."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Setter

from otel_backendai import request_id
from otel_backendai.propagators.event_metadata import (
    EventMetadataPropagator,
    extract_event,
    inject_event_metadata,
    with_event_field,
)
from tests.unit.hostile import RaisingMapping, Table, any_value
from tests.unit.test_propagators_rpc import OTHER_TRACEPARENT, TRACEPARENT, full, trace_of, traced
from tests.unit.test_request_id import acceptable

PROPAGATOR = EventMetadataPropagator()
NAMES = {"request_id", "traceparent", "tracestate", "baggage"}


def message(**more: Any) -> dict[Any, Any]:
    """The fields of an event as Backend.AI 23.09 sends them."""
    return {b"name": b"kernel_started", b"source": b"i-agent", b"args": b"\x91", **more}


@given(acceptable, st.booleans(), st.sampled_from(["args", "payload"]))
def test_round_trip(value: str, text_keys: bool, body: str) -> None:
    """Request ID, baggage and trace come out of the message as they went in, with text and with bytes as keys."""
    fields: dict[Any, Any] = {"name": "x", body: b"\x90"} if text_keys else {b"name": b"x", body.encode(): b"\x90"}
    before = dict(fields)
    sent = with_event_field(fields, full(value))
    assert fields == before
    assert {name: sent[name] for name in before} == before
    (added,) = sent.keys() - before.keys()
    assert added == ("otel" if text_keys else b"otel")
    assert type(sent[added]) is (str if text_keys else bytes)
    assert json.loads(sent[added]).keys() == NAMES  # type: ignore[arg-type]  # text or bytes, just asserted
    found = extract_event(sent)
    assert request_id.read(found) == value
    assert baggage.get_baggage("tenant", found) == "blue"
    assert trace_of(found) == "b7ad6b7169203331"


@given(acceptable)
def test_round_trip_of_flat_metadata(value: str) -> None:
    """The W3C fields stand beside `request_id`, `timestamp` and `source`."""
    metadata = {"timestamp": "2026-01-01T00:00:00+00:00", "source": "manager"}
    sent = inject_event_metadata(metadata, full(value))
    assert sent.keys() == NAMES | metadata.keys()
    found = extract_event(sent)
    assert request_id.read(found) == value
    assert baggage.get_baggage("tenant", found) == "blue"
    assert trace_of(found) == "b7ad6b7169203331"


def test_never_a_new_key_in_native_metadata() -> None:
    """Releases up to 26.8 crash on one: the JSON of Backend.AI's own `metadata` arrives byte for byte."""
    native = json.dumps({"request_id": None, "user": None}).encode()
    text_keys: dict[Any, Any] = {"name": "x", "args": b"", "metadata": native}
    for fields in (message(), {**message(), b"metadata": native}, text_keys):
        sent = with_event_field(fields, full())
        assert {name: sent[name] for name in fields} == fields
        assert len(sent) == len(fields) + 1


def test_what_is_queued_again_keeps_the_context_it_was_made_in() -> None:
    """A message that has the field, in either spelling, is returned itself."""
    for fields in (message(otel="{}"), {**message(), b"otel": b"{}"}, with_event_field(message(), full("first"))):
        assert with_event_field(fields, full("second")) is fields


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": "x"},
        {"args": b""},
        {"name": None, "args": b""},
        Table(name="x", args=b""),
        None,
        5,
        [("name", "x")],
    ],
)
def test_other_messages_are_returned_themselves(fields: Any) -> None:
    """An event has a name and a body, and is a plain dict."""
    before = copy.copy(fields)
    assert with_event_field(fields, full()) is fields
    assert fields == before


def test_nothing_to_carry() -> None:
    """An empty context adds nothing."""
    fields = message()
    assert with_event_field(fields, Context()) is fields
    assert inject_event_metadata({"source": "x"}, Context()) == {"source": "x"}


def test_what_an_application_set_in_its_metadata_is_kept() -> None:
    """Its own request ID and traceparent win; a `None` is no value, and is filled."""
    own = {"request_id": "own", "traceparent": OTHER_TRACEPARENT, "source": 5}
    sent = inject_event_metadata(own, full())
    assert {name: sent[name] for name in own} == own
    assert "tracestate" not in sent, "a trace state belongs to its trace parent"
    filled = inject_event_metadata({"request_id": None, "traceparent": None}, full())
    assert filled["request_id"] == "req-1"
    assert filled["traceparent"] == TRACEPARENT


def test_a_new_object_is_returned() -> None:
    """The application's metadata is never changed."""
    metadata = {"source": "x"}
    assert inject_event_metadata(metadata, full()) is not metadata
    assert metadata == {"source": "x"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"otel": '{"request_id":"o"}', "metadata": '{"request_id":"m"}', "request_id": "t"}, "o"),
        ({b"otel": b'{"request_id":"o"}', b"metadata": b'{"request_id":"m"}'}, "o"),
        ({"otel": '{"request_id":"a b"}', "metadata": '{"request_id":"m"}', "request_id": "t"}, "m"),
        ({"otel": "{", "metadata": '{"request_id":"m"}'}, "m"),
        ({"metadata": '{"request_id":null}', "request_id": "t"}, "t"),
        ({"metadata": {"request_id": "m"}}, "m"),
        ({b"request_id": b"t"}, "t"),
        ({"otel": '{"baggage":"backendai.request.id=b"}'}, "b"),
        ({"otel": '{"baggage":"backendai.request.id=a%0Ab"}'}, None),
    ],
)
def test_the_order_of_sources(more: dict[Any, Any], expected: str | None) -> None:
    """`otel`, `metadata`, top level, baggage: the first acceptable one wins, in text and bytes."""
    found = extract_event({**message(), **more})
    assert request_id.read(found) == expected
    assert baggage.get_baggage("backendai.request.id", found) == expected


def test_the_trace_comes_from_the_best_source() -> None:
    """`otel`, else native `metadata.traceparent` (26.9), else a top-level field."""
    native = json.dumps({"traceparent": OTHER_TRACEPARENT})
    assert trace_of(extract_event({"otel": json.dumps({"traceparent": TRACEPARENT}), "metadata": native})).endswith("1")
    assert trace_of(extract_event({"otel": json.dumps({"request_id": "x"}), "metadata": native})).endswith("2")
    assert trace_of(extract_event({"traceparent": TRACEPARENT})).endswith("1")


def test_baggage_is_not_lost_when_another_field_names_the_trace() -> None:
    """A sender without a span: `otel` brings baggage, native `metadata` the trace; both are continued."""
    carried = json.dumps({"request_id": "x", "baggage": "tenant=blue"})
    native = json.dumps({"traceparent": OTHER_TRACEPARENT})
    found = extract_event({**message(), "otel": carried, "metadata": native})
    assert trace_of(found) == "b7ad6b7169203332"
    assert baggage.get_baggage("tenant", found) == "blue"


JSON_ATTACKS = {
    "deep": "[" * 8_000,
    "deep object": '{"a":' * 3_000,
    "deep and closed": '{"traceparent":' * 2_000 + "1" + "}" * 2_000,
    "numbers": "9" * 10_000,
    "number as object": '{"request_id":' + "9" * 10_000 + "}",
    "NaN": '{"request_id": NaN}',
    "list": '["request_id"]',
    "escaped surrogate": '{"request_id": "\\ud800", "traceparent": "\\ud800", "baggage": "a=\\ud800"}',
    "types": '{"request_id": {}, "traceparent": [1], "tracestate": 5, "baggage": {"a": "b"}}',
    "megabytes": '{"x": "' + "x" * 3_000_000 + '"}',
    "empty": "",
}


@pytest.mark.parametrize("attack", JSON_ATTACKS.values(), ids=JSON_ATTACKS)
@pytest.mark.parametrize("name", ["otel", "metadata"])
def test_hostile_json(name: str, attack: str) -> None:
    """No text in a JSON field raises, and none of these is anything: the same context comes back."""
    context = Context({"kept": 1})
    for carrier in ({**message(), name: attack}, {**message(), name.encode(): attack.encode()}):
        assert extract_event(carrier, context) is context


@any_value
def test_hostile_fields(make: Callable[[], Any]) -> None:
    """Whatever stands in a message or in its place: no exception, and the same context when nothing is found."""
    context = Context({"kept": 1})
    value = make()
    carriers: list[Any] = [
        value,
        {**message(), "otel": value},
        {**message(), b"otel": value},
        {**message(), "metadata": value},
        {**message(), "request_id": value},
        {**message(), "otel": {"request_id": value, "traceparent": value, "tracestate": value, "baggage": value}},
        {"name": value, "args": value, "traceparent": value, "baggage": value},
        {"source": value, "timestamp": value, "tracestate": value, "request_id": value},
    ]
    for position, carrier in enumerate(carriers):
        if isinstance(value, dict) and value.get("request_id") == "nested" and position in (0, 1, 2, 3):
            assert request_id.read(extract_event(carrier, context)) == "nested"
            continue
        before = dict(carrier) if type(carrier) is dict else None
        assert extract_event(carrier, context) is context, position
        if before is not None:
            assert carrier == before


def test_a_mapping_that_raises() -> None:
    """The documented promise, never raises, holds for a carrier whose methods raise, at any place of it."""
    context = Context({"kept": 1})
    for carrier in (RaisingMapping(), {"otel": RaisingMapping()}, {"metadata": RaisingMapping()}):
        assert extract_event(carrier, context) is context


@given(
    st.dictionaries(st.text(max_size=10) | st.binary(max_size=10) | st.integers(), st.text() | st.binary() | st.none())
)
def test_any_fields(fields: dict[Any, Any]) -> None:
    """No fields make either side raise, and none are changed."""
    before = dict(fields)
    extract_event(fields)
    extract_event({**fields, "otel": before.get("otel", "{}")})
    with_event_field({**fields, "name": "x", "args": b""}, full())
    inject_event_metadata(fields, full())
    assert fields == before


def test_extraction_starts_from_nothing() -> None:
    """Handlers run in the reader's context: by default nothing ambient is in what comes out."""
    token = context_api.attach(full("ambient"))
    try:
        for carrier in (message(), {}, None, {"source": "x", "timestamp": "y"}):
            assert dict(extract_event(carrier)) == {}
            assert dict(PROPAGATOR.extract(carrier if isinstance(carrier, dict) else {})) == {}
        assert dict(baggage.get_all(extract_event({**message(), "otel": '{"baggage":"a=b"}'}))) == {"a": "b"}
    finally:
        context_api.detach(token)


def test_injection_reads_the_current_context_by_default() -> None:
    """As every propagator does."""
    token = context_api.attach(full("ambient"))
    try:
        assert json.loads(with_event_field({"name": "x", "args": b""})["otel"])["request_id"] == "ambient"  # type: ignore[arg-type]  # text
        assert inject_event_metadata({})["request_id"] == "ambient"
    finally:
        context_api.detach(token)


class Recording(Setter[dict[Any, Any]]):
    """Notes what was written."""

    def __init__(self) -> None:
        self.written: dict[Any, Any] = {}

    def set(self, carrier: dict[Any, Any], key: str, value: str) -> None:
        """Write and note."""
        self.written[key] = value
        carrier[key] = value


@pytest.mark.parametrize(
    "carrier",
    [
        {"name": "x", "args": b"", "metadata": None, "empty": None},
        {b"name": b"x", b"args": b"", b"empty": None},
        {"source": None, "timestamp": None, "other": None},
        {"source": "a", "timestamp": "b", "request_id": None},
    ],
    ids=["text keys", "bytes keys", "metadata of nothing", "metadata"],
)
def test_the_propagator_writes_its_fields_and_no_other_key(carrier: dict[Any, Any]) -> None:
    """``fields`` is complete: no foreign key is written, not even one whose value is `None`."""
    recording = Recording()
    PROPAGATOR.inject(carrier, full(), recording)
    assert recording.written
    assert {key.decode() if isinstance(key, bytes) else key for key in recording.written} <= PROPAGATOR.fields
    assert all(isinstance(value, (str, bytes)) for value in recording.written.values())
    assert request_id.read(PROPAGATOR.extract(carrier)) == "req-1"
    assert trace_of(PROPAGATOR.extract(carrier)) == "b7ad6b7169203331"


def test_the_propagator_keeps_what_is_there() -> None:
    """A field that is already there stays."""
    for carrier in (message(otel='{"request_id":"first"}'), {"source": "a", "timestamp": "b", "request_id": "first"}):
        PROPAGATOR.inject(carrier, request_id.bind("second", Context()))
        assert request_id.read(PROPAGATOR.extract(carrier)) == "first"


def test_the_propagator_leaves_other_carriers_alone() -> None:
    """HTTP headers and RPC bodies are not events."""
    carriers: tuple[dict[Any, Any], ...] = ({"Host": "x"}, {"args": (), "kwargs": {}}, Table(name="x", args=b""))
    for carrier in carriers:
        before = dict(carrier)
        PROPAGATOR.inject(carrier, traced(request_id.bind("req-1", Context())))
        assert carrier == before
        context = Context({"kept": 1})
        assert PROPAGATOR.extract(carrier, context) is context
