# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The request ID in HTTP headers."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import DefaultGetter, DefaultSetter, Getter, Setter, TextMapPropagator

from otel_backendai import request_id
from otel_backendai.propagators.event_metadata import EventMetadataPropagator
from otel_backendai.propagators.http_headers import HttpHeadersPropagator
from otel_backendai.propagators.peers_only import PeersOnlyPropagator
from otel_backendai.propagators.rpc_body import RpcBodyPropagator
from tests.unit.hostile import RaisingMapping, any_value
from tests.unit.test_request_id import acceptable

PROPAGATOR = HttpHeadersPropagator()
READ = ("X-Request-ID", "X-Backend-Request-ID", "X-BackendAI-RequestID")
SENT = ("X-Request-ID", "X-BackendAI-RequestID")
OURS: tuple[TextMapPropagator, ...] = (
    PROPAGATOR,
    RpcBodyPropagator(),
    EventMetadataPropagator(),
    PeersOnlyPropagator(PROPAGATOR),
)
each_of_ours = pytest.mark.parametrize("ours", OURS, ids=lambda propagator: type(propagator).__name__)


@each_of_ours
def test_the_interface_is_that_of_opentelemetry(ours: TextMapPropagator) -> None:
    """Drift: the methods of TextMapPropagator, their parameters and defaults, are what we override."""
    assert TextMapPropagator.__abstractmethods__ == {"extract", "inject", "fields"}
    for name in ("extract", "inject"):
        theirs = inspect.signature(getattr(TextMapPropagator, name)).parameters
        own = inspect.signature(getattr(type(ours), name)).parameters
        assert list(own) == list(theirs)
        assert [own[key].default is None for key in own] == [theirs[key].default is None for key in theirs]
    assert isinstance(inspect.getattr_static(type(ours), "fields"), property)


@each_of_ours
def test_fields_are_static(ours: TextMapPropagator) -> None:
    """The same set of plain text every time, which no caller can change for others."""
    fields = ours.fields
    fields.add("changed")
    assert "changed" not in ours.fields
    assert ours.fields == ours.fields
    assert all(type(field) is str for field in ours.fields)


@given(acceptable)
def test_round_trip(value: str) -> None:
    """What is injected is extracted, and ``fields`` names every header that was written."""
    carrier: dict[str, str] = {}
    PROPAGATOR.inject(carrier, request_id.bind(value, Context()))
    assert carrier == dict.fromkeys(SENT, value)
    assert set(carrier) == PROPAGATOR.fields
    assert request_id.read(PROPAGATOR.extract(carrier)) == value


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("case", [str, str.lower])
def test_each_name_is_read(name: str, case: Callable[[str], str]) -> None:
    """All three headers are read, in the spelling of the design and in lower case (a plain dict, ASGI)."""
    assert request_id.read(PROPAGATOR.extract({case(name): "req-1"})) == "req-1"


def test_the_first_acceptable_name_wins_over_baggage() -> None:
    """The order of the design: three headers, then baggage."""
    from_baggage = request_id.bind("from-baggage", Context())
    carrier = dict(zip(READ, ("a", "b", "c"), strict=True))
    for expected in ("a", "b", "c"):
        assert request_id.read(PROPAGATOR.extract(carrier, from_baggage)) == expected
        carrier.pop(next(iter(carrier)))
    assert PROPAGATOR.extract(carrier, from_baggage) is from_baggage


def test_a_hostile_header_gives_way_to_the_next() -> None:
    """Treated as absent: the next name, then baggage, decide."""
    carrier: dict[str, Any] = {"X-Request-ID": "a\r\nb", "X-Backend-Request-ID": "", "X-BackendAI-RequestID": "good"}
    assert request_id.read(PROPAGATOR.extract(carrier)) == "good"
    carrier["X-BackendAI-RequestID"] = ["one", "two"]
    assert request_id.read(PROPAGATOR.extract(carrier)) is None
    assert request_id.read(PROPAGATOR.extract(carrier, request_id.bind("from-baggage", Context()))) == "from-baggage"


def test_a_hostile_id_in_baggage_is_not_kept() -> None:
    """Nothing hostile travels on, other baggage does."""
    context = baggage.set_baggage("backendai.request.id", "a\nb", baggage.set_baggage("tenant", "blue", Context()))
    assert dict(baggage.get_all(PROPAGATOR.extract({}, context))) == {"tenant": "blue"}


@any_value
@pytest.mark.usefixtures("lenient")
def test_hostile_header_values(make: Callable[[], Any]) -> None:
    """Whatever stands where the ID should: the context comes back as it was, itself, and the carrier is not changed."""
    context = baggage.set_baggage("tenant", "blue", Context())
    value = make()
    carrier = dict.fromkeys(READ, value)
    found = PROPAGATOR.extract(carrier, context)
    if isinstance(value, (list, set, dict)) and len(value) == 1:
        # OpenTelemetry's getter makes a list of one of it, which is how getters answer.
        assert request_id.read(found) == next(iter(value))
    else:
        assert found is context
    assert carrier.keys() == set(READ)
    assert all(kept is value for kept in carrier.values())


@each_of_ours
@any_value
@pytest.mark.usefixtures("lenient")
def test_hostile_carriers(ours: TextMapPropagator, make: Callable[[], Any]) -> None:
    """Whatever stands where the carrier should: neither side raises; extract returns the context that it was given."""
    context = request_id.bind("req-1", Context())
    if isinstance(make(), dict) and "request_id" in make() and isinstance(ours, EventMetadataPropagator):
        return  # a dict that names an ID is no hostile carrier here; see test_propagators_event
    assert ours.extract(make(), context) is context
    ours.inject(make(), context)


@each_of_ours
@pytest.mark.parametrize("carrier", [{}, {"unrelated": "x"}, {b"bytes": b"x"}, {1: 2}], ids=repr)
def test_nothing_found_is_the_same_context(ours: TextMapPropagator, carrier: Any) -> None:
    """The same object, not a copy: callers compare; an empty context by default, never the current one."""
    context = baggage.set_baggage("tenant", "blue", Context())
    assert ours.extract(carrier, context) is context
    token = context_api.attach(request_id.bind("ambient"))
    try:
        assert dict(ours.extract(carrier)) == {}
        assert dict(ours.extract({**carrier, "X-Request-ID": ""})) == {}
    finally:
        context_api.detach(token)


@each_of_ours
@pytest.mark.usefixtures("lenient")
def test_nothing_to_inject_writes_nothing(ours: TextMapPropagator) -> None:
    """An empty context leaves every carrier as it is; the setter is not even asked."""

    class Forbidden(Setter[Any]):
        def set(self, carrier: Any, key: str, value: str) -> None:
            raise AssertionError((key, value))

    for carrier in ({}, {"args": ()}, {"name": "x", "args": b""}, {"source": "a", "timestamp": "b"}):
        before = dict(carrier)
        ours.inject(carrier, Context(), Forbidden())
        assert carrier == before


class RaisingGetter(Getter[Any]):
    """A getter that raises."""

    def get(self, carrier: Any, key: str) -> list[str] | None:
        """Raise."""
        raise RuntimeError("get")

    def keys(self, carrier: Any) -> list[str]:
        """Raise."""
        raise RuntimeError("keys")


class RaisingSetter(Setter[Any]):
    """A setter that raises."""

    def set(self, carrier: Any, key: str, value: str) -> None:
        """Raise."""
        raise RuntimeError("set")


@each_of_ours
@pytest.mark.usefixtures("lenient")
def test_raising_getters_setters_and_mappings(ours: TextMapPropagator) -> None:
    """Rule 1: what a foreign getter, setter or carrier raises ends at the guard."""
    context = request_id.bind("req-1", Context())
    carriers: tuple[Any, ...] = ({}, {"args": ()}, {"name": "x", "args": b""}, {"source": "a", "timestamp": "b"})
    for carrier in carriers:
        if type(ours) in (HttpHeadersPropagator, PeersOnlyPropagator):
            assert ours.extract(carrier, context, RaisingGetter()) is context
        ours.inject(dict(carrier), context, RaisingSetter())
    assert ours.extract(RaisingMapping(), context) is context
    ours.inject(RaisingMapping(), context)


@pytest.mark.parametrize("ambient", [None, "ambient"])
def test_inject_reads_the_current_context_by_default(ambient: str | None) -> None:
    """As every propagator of OpenTelemetry does."""
    carrier: dict[str, str] = {}
    token = context_api.attach(request_id.bind(ambient) if ambient else Context())
    try:
        PROPAGATOR.inject(carrier)
    finally:
        context_api.detach(token)
    assert carrier == ({} if ambient is None else dict.fromkeys(SENT, ambient))


def test_a_hostile_id_is_never_sent() -> None:
    """An unacceptable baggage entry is no request ID."""
    carrier: dict[str, str] = {}
    PROPAGATOR.inject(carrier, baggage.set_baggage("backendai.request.id", "a\r\nX-Evil: 1", Context()))
    assert not carrier


@given(st.dictionaries(st.text(max_size=30) | st.sampled_from(READ), st.text(max_size=140) | st.lists(st.text())))
def test_any_headers(carrier: dict[str, Any]) -> None:
    """No dictionary of text makes extract raise, and what it binds is acceptable."""
    before = {name: list(value) if isinstance(value, list) else value for name, value in carrier.items()}
    found = PROPAGATOR.extract(carrier)
    assert carrier == before
    assert baggage.get_baggage("backendai.request.id", found) == request_id.read(found)


def test_the_default_getter_and_setter_are_opentelemetrys() -> None:
    """Called without them, a plain dict is the carrier."""
    parameters = inspect.signature(HttpHeadersPropagator.extract).parameters
    assert isinstance(parameters["getter"].default, DefaultGetter)
    assert isinstance(inspect.signature(HttpHeadersPropagator.inject).parameters["setter"].default, DefaultSetter)
