# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Mint, accept, read, bind: the rules of a request ID."""

import json
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry import context as context_api
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context

from otel_backendai import request_id
from tests.unit.conftest import output_of
from tests.unit.hostile import VALUES, Text, any_value

ALPHABET = string.ascii_letters + string.digits + "._:/+=@-"
NAME = "backendai.request.id"

acceptable = st.text(ALPHABET, min_size=1, max_size=128)


@given(acceptable)
def test_every_text_of_the_alphabet_up_to_128_is_acceptable(value: str) -> None:
    """1 to 128 characters of the alphabet."""
    assert request_id.is_acceptable(value)


@given(st.text(max_size=200))
def test_nothing_else_is(value: str) -> None:
    """Length and alphabet decide, nothing else."""
    assert request_id.is_acceptable(value) == (1 <= len(value) <= 128 and set(value) <= set(ALPHABET))


@pytest.mark.parametrize("character", [chr(code) for code in range(256)])
def test_the_alphabet_is_exact(character: str) -> None:
    """Each of the first 256 characters alone, at the start, in the middle and at the end."""
    for value in (character, f"{character}a", f"a{character}a", f"a{character}"):
        assert request_id.is_acceptable(value) == (character in ALPHABET)


@pytest.mark.parametrize(("length", "expected"), [(0, False), (1, True), (128, True), (129, False)])
def test_the_length_is_exact(length: int, expected: bool) -> None:
    """128 characters are accepted, 129 are not."""
    assert request_id.is_acceptable("x" * length) is expected


@any_value
def test_hostile_values_are_not_acceptable(make: object) -> None:
    """Whatever the type, the answer is no, without an exception."""
    assert callable(make)
    assert request_id.is_acceptable(make()) is False


def test_a_subclass_of_str_is_not_acceptable() -> None:
    """msgpack with strict types drops a message that holds one."""
    assert not request_id.is_acceptable(Text("req-1"))


def test_a_minted_id_is_a_uuid4_in_lower_case() -> None:
    """The form that Backend.AI's audit log expects, acceptable itself, of exact type, and never the same."""
    minted = [request_id.mint() for _ in range(2_000)]
    assert len(set(minted)) == len(minted)
    for value in minted:
        parsed = uuid.UUID(value)
        assert str(parsed) == value
        assert (parsed.version, parsed.variant) == (4, uuid.RFC_4122)
        assert type(value) is str
        assert request_id.is_acceptable(value)
    assert {value[19] for value in minted} == set("89ab")


@given(acceptable)
def test_what_is_bound_is_read(value: str) -> None:
    """Binding changes a new context only, and baggage holds the ID under its one name."""
    before = Context()
    bound = request_id.bind(value, before)
    assert request_id.read(bound) == value
    assert baggage.get_baggage(NAME, bound) == value
    assert request_id.read(before) is None
    assert dict(before) == {}


@given(acceptable)
def test_an_id_survives_the_wire_as_baggage(value: str) -> None:
    """Every acceptable ID, also with ``+ = / @ :``, comes back from a baggage header as it was."""
    carrier: dict[str, str] = {}
    W3CBaggagePropagator().inject(carrier, request_id.bind(value, Context()))
    assert request_id.read(W3CBaggagePropagator().extract(carrier, Context())) == value


def test_binding_attaches_nothing() -> None:
    """The current context is the default and stays as it is."""
    request_id.bind("req-1")
    assert request_id.read() is None
    token = context_api.attach(baggage.set_baggage("tenant", "blue"))
    try:
        bound = request_id.bind("req-1")
        assert baggage.get_baggage("tenant", bound) == "blue"
        assert request_id.read() is None
    finally:
        context_api.detach(token)


@any_value
def test_binding_a_hostile_value_is_refused(make: object) -> None:
    """ValueError, whose text does not quote the value."""
    assert callable(make)
    with pytest.raises(ValueError, match="not an acceptable request ID") as caught:
        request_id.bind(make())
    assert "Set-Cookie" not in str(caught.value)


@any_value
def test_hostile_baggage_counts_as_absent(make: object) -> None:
    """Baggage crosses trust borders: what is in it is judged when it is read."""
    assert callable(make)
    context = baggage.set_baggage(NAME, make(), baggage.set_baggage("tenant", "blue", Context()))
    assert request_id.read(context) is None
    unbound = request_id.unbind(context)
    assert dict(baggage.get_all(unbound)) in ({"tenant": "blue"}, {"tenant": "blue", NAME: None})


def test_unbinding_takes_the_id_and_nothing_else() -> None:
    """Other baggage stays; a context without an ID is returned itself."""
    context = baggage.set_baggage("tenant", "blue", Context())
    assert request_id.unbind(context) is context
    unbound = request_id.unbind(request_id.bind("req-1", context))
    assert dict(baggage.get_all(unbound)) == {"tenant": "blue"}
    assert dict(unbound) == dict(context)


def test_rejections_and_mints_are_counted() -> None:
    """`backendai.request.rejected{hop}` for each hostile ID, wherever it stood; `backendai.request.minted{origin}`."""
    code = """
import json
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
from otel_backendai.api import ensure_request_id, extract_event_metadata, extract_rpc_body
from otel_backendai.propagators.http_headers import HttpHeadersPropagator
HttpHeadersPropagator().extract({"X-Request-ID": "a b"})
extract_rpc_body({"args": (), "headers": {"request_id": "a b"}})
extract_rpc_body({"args": (), "headers": {"baggage": "backendai.request.id=a%20b"}})
extract_event_metadata({"name": "x", "args": b"", "otel": '{"request_id": "a b"}'})
ensure_request_id(lambda: None)()
counted = {}
for resource in reader.get_metrics_data().resource_metrics:
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            for point in metric.data.data_points:
                counted["/".join([metric.name, *point.attributes.values()])] = point.value
print(json.dumps(counted))
"""
    assert json.loads(output_of(code)) == {
        "backendai.request.rejected/http": 1,
        "backendai.request.rejected/rpc": 2,
        "backendai.request.rejected/event": 1,
        "backendai.request.minted/background": 1,
    }


def test_the_hostile_values_are_hostile() -> None:
    """The list that other tests share holds no acceptable ID."""
    assert not any(request_id.is_acceptable(make()) for make in VALUES.values())
