# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Our encoding beside the official one: what a receiver decodes is the same, for any span and any log record."""

from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import SeverityNumber
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs as official_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as official_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceState

from otel_backendai.otlp.logs import encode_logs
from otel_backendai.otlp.spans import encode_spans
from otel_backendai.otlp.values import any_value
from tests.unit.otlp_records import OLD_RECORDS, log_record

CONTEXT = SpanContext(1, 2, is_remote=False)


def decoded_spans(*spans: ReadableSpan) -> ExportTraceServiceRequest:
    """What a receiver makes of our bytes."""
    request, errors = encode_spans(spans)
    assert not errors
    return ExportTraceServiceRequest.FromString(request)


def decoded_logs(*logs: Any) -> ExportLogsServiceRequest:
    """What a receiver makes of our bytes."""
    request, errors = encode_logs(logs)
    assert not errors
    return ExportLogsServiceRequest.FromString(request)


def decoded_value(value: object) -> AnyValue:
    """What a receiver makes of one attribute value."""
    return AnyValue.FromString(any_value(value))


def serialized(message: Message) -> bytes:
    """The message in a form that can be compared also where it holds NaN."""
    return message.SerializeToString(deterministic=True)


def comparable_spans(request: Any) -> bytes:
    """``request`` without the trace state of links, which only we write, and without what older trains leave out."""
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            _reduce_scope(scope_spans)
            for span in scope_spans.spans:
                for link in span.links:
                    link.ClearField("trace_state")
    return serialized(request)


def comparable_logs(request: Any) -> bytes:
    """``request`` without what older trains leave out."""
    for resource_logs in request.resource_logs:
        for scope_logs in resource_logs.scope_logs:
            _reduce_scope(scope_logs)
    return serialized(request)


def _reduce_scope(scoped: Any) -> None:
    scoped.scope.ClearField("attributes")
    scoped.ClearField("schema_url")


def official_writes_none() -> bool:
    """Whether this train's encoder knows ``None`` as a value; older ones leave the attribute out."""
    span = ReadableSpan("s", CONTEXT, resource=Resource({}), attributes={"key": [None]})
    return bool(official_spans([span]).resource_spans[0].scope_spans[0].spans[0].attributes)


BINARY: st.SearchStrategy[Any] = st.binary()
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.text(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([-(2**63), 2**63 - 1, -1, 0, 127, 128]),
    st.floats(),
    *([st.none()] if official_writes_none() else []),
)


def attributes_of(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any] | None]:
    """Attributes with these and with containers of them."""
    return st.one_of(st.none(), st.dictionaries(st.text(min_size=1), nested(scalars), max_size=5))


def nested(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """These, and containers of them."""
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=4).map(tuple),
            st.dictionaries(st.text(), inner, max_size=4),
        ),
        max_leaves=8,
    )


VALUES = nested(SCALARS | BINARY)
ATTRIBUTES = attributes_of(SCALARS | BINARY)
# The log records of older trains make None of mixed lists and of bytes that are no text.
SIMPLE_ATTRIBUTES = st.dictionaries(st.text(min_size=1), SCALARS | st.lists(st.text()) | st.lists(st.integers(-1, 300)))
LOG_ATTRIBUTES = ATTRIBUTES if official_writes_none() else st.none() | SIMPLE_ATTRIBUTES

# Equal ones as different objects, too: they belong together.
RESOURCES = st.sampled_from(
    [
        Resource({}),
        Resource({"service.name": "manager", "process.pid": 4711}),
        Resource({"service.name": "manager", "process.pid": 4711}),
        Resource({"service.name": "manager", "process.pid": 4711}, "https://example.org/schema"),
        Resource({"service.name": "agent", "list": ["a", "b"]}),
    ]
)
SCOPES = st.sampled_from(
    [
        None,
        InstrumentationScope("scope"),
        InstrumentationScope("scope"),
        InstrumentationScope("scope", "1.0"),
        InstrumentationScope("", None, "https://example.org/scope"),
    ]
)
TIMES = st.integers(0, 2**64 - 1)
TRACE_IDS = st.integers(1, 2**128 - 1)
SPAN_IDS = st.integers(1, 2**64 - 1)
CONTEXTS = st.builds(
    SpanContext,
    TRACE_IDS,
    SPAN_IDS,
    is_remote=st.booleans(),
    trace_state=st.sampled_from([None, TraceState(), TraceState([("a", "1"), ("b@c", "x=y")])]),
)
STATUSES = st.one_of(
    st.sampled_from([Status(), Status(StatusCode.OK), Status(StatusCode.ERROR)]),
    st.text().map(lambda text: Status(StatusCode.ERROR, text)),
)
SPANS = st.builds(
    ReadableSpan,
    name=st.text(),
    context=CONTEXTS,
    parent=st.one_of(st.none(), CONTEXTS),
    resource=RESOURCES,
    attributes=ATTRIBUTES,
    events=st.lists(st.builds(Event, st.text(), ATTRIBUTES, TIMES), max_size=3),
    links=st.lists(st.builds(Link, CONTEXTS, ATTRIBUTES), max_size=3),
    kind=st.sampled_from(SpanKind),
    status=STATUSES,
    start_time=st.one_of(st.none(), TIMES),
    end_time=st.one_of(st.none(), TIMES),
    instrumentation_scope=SCOPES,
)
LOGS = st.builds(
    log_record,
    trace_id=st.one_of(st.just(0), TRACE_IDS),
    span_id=st.one_of(st.just(0), SPAN_IDS),
    sampled=st.booleans(),
    resource=RESOURCES,
    scope=SCOPES,
    severity=st.sampled_from(SeverityNumber),
    timestamp=TIMES,
    observed_timestamp=TIMES,
    severity_text=st.one_of(st.none(), st.text()),
    body=VALUES,
    attributes=LOG_ATTRIBUTES,
)


@given(st.lists(SPANS, max_size=6))
def test_spans_are_what_the_official_encoder_makes_of_them(spans: list[ReadableSpan]) -> None:
    """Any spans: all fields, all value types, the same order by resource and scope."""
    assert comparable_spans(decoded_spans(*spans)) == comparable_spans(official_spans(spans))


@given(st.lists(LOGS, max_size=6))
def test_logs_are_what_the_official_encoder_makes_of_them(logs: list[Any]) -> None:
    """Any log records, likewise."""
    assert comparable_logs(decoded_logs(*logs)) == comparable_logs(official_logs(logs))


def test_spans_of_the_sdk() -> None:
    """As a provider makes them: dropped attributes, events and links are counted, limits are the SDK's."""
    exporter = InMemorySpanExporter()
    limits = SpanLimits(max_span_attributes=1, max_events=1, max_links=1, max_event_attributes=1, max_link_attributes=1)
    provider = TracerProvider(resource=Resource({"service.name": "s"}), span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    many = {"a": 1, "b": 2, "c": 3}
    with provider.get_tracer("t").start_as_current_span(
        "s", attributes=many, links=[Link(CONTEXT, many), Link(CONTEXT, many)]
    ) as span:
        for _ in range(4):
            span.add_event("e", many)
    spans = exporter.get_finished_spans()
    expected = official_spans(spans)
    message = expected.resource_spans[0].scope_spans[0].spans[0]
    assert (message.dropped_attributes_count, message.dropped_events_count, message.dropped_links_count) == (2, 3, 1)
    assert message.events[0].dropped_attributes_count == 2
    assert serialized(decoded_spans(*spans)) == serialized(expected)


def test_scopes_are_whole_on_every_train() -> None:
    """Attributes and schema URL of a scope: official encoders before 1.33 leave them out."""
    scope = InstrumentationScope("s", "1", "https://example.org/s", {"key": "value"})
    for scoped in (
        decoded_spans(ReadableSpan("s", CONTEXT, resource=Resource({}), instrumentation_scope=scope))
        .resource_spans[0]
        .scope_spans[0],
        decoded_logs(log_record(scope=scope, body="")).resource_logs[0].scope_logs[0],
    ):
        assert scoped.schema_url == "https://example.org/s"
        assert [(pair.key, pair.value.string_value) for pair in scoped.scope.attributes] == [("key", "value")]


def test_links_keep_their_trace_state() -> None:
    """The protocol has the field; official encoders leave it out."""
    context = SpanContext(1, 2, is_remote=True, trace_state=TraceState([("a", "1"), ("b", "2")]))
    request = decoded_spans(ReadableSpan("s", CONTEXT, resource=Resource({}), links=[Link(context)]))
    assert request.resource_spans[0].scope_spans[0].spans[0].links[0].trace_state == "a=1,b=2"


def test_event_names() -> None:
    """Written where the train has them."""
    record = decoded_logs(log_record(event_name="job.done", body="")).resource_logs[0].scope_logs[0].log_records[0]
    assert getattr(record, "event_name", "") == ("" if OLD_RECORDS else "job.done")


def test_dropped_attributes_of_a_log_record() -> None:
    """Counted, in the old records and in the new."""
    log = log_record(body="", attributes={"a": 1})
    log.log_record.attributes = BoundedAttributes(1, {"a": 1, "b": 2, "c": 3})
    record = decoded_logs(log).resource_logs[0].scope_logs[0].log_records[0]
    assert record.dropped_attributes_count == 2


def test_records_with_little_in_them() -> None:
    """No body, no severity, no trace: empty fields, where older official encoders lose the batch."""
    log = log_record(body=None, severity=None)
    record = decoded_logs(log).resource_logs[0].scope_logs[0].log_records[0]
    assert record.HasField("body")
    assert record.body.WhichOneof("value") is None
    assert (record.severity_number, record.trace_id, record.span_id) == (0, b"", b"")


def test_none_in_containers() -> None:
    """Empty values, at their place."""
    elements = decoded_value(["a", None, "b"]).array_value.values
    assert [element.WhichOneof("value") for element in elements] == ["string_value", None, "string_value"]
    assert decoded_value({"key": None}).kvlist_value.values[0].key == "key"


class Unprintable:
    """An application's object whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Printable:
    """An application's object."""

    def __str__(self) -> str:
        return "printed"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**63, str(2**63)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (10**5_000, "<int>"),
        (Printable(), "printed"),
        (Unprintable(), "<Unprintable>"),
        ({1}, "{1}"),
        ("a\udcffb", r"a\udcffb"),
        (1 + 2j, "(1+2j)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_protocol_has_no_type_for_is_text(value: object, text: str) -> None:
    """Nothing is lost and nothing raises; a string that is no Unicode must not spoil the request for all others."""
    assert decoded_value(value).string_value == text


def test_containers_that_contain_themselves() -> None:
    """They end, within the depth that receivers parse."""
    around: list[Any] = ["x"]
    around.append(around)
    table: dict[str, Any] = {}
    table["self"] = table
    span = ReadableSpan("s", CONTEXT, resource=Resource({}), events=[Event("e", {"list": around, "table": table}, 1)])
    attributes = decoded_spans(span).resource_spans[0].scope_spans[0].spans[0].events[0].attributes
    assert [pair.key for pair in attributes] == ["list", "table"]


def test_keys_of_other_types_are_text() -> None:
    """As the official encoder has it within mappings."""
    assert decoded_value({1: 2}).kvlist_value.values[0].key == "1"


def test_one_bad_item_does_not_cost_the_batch() -> None:
    """What cannot be encoded is left out and reported; the rest is sent."""

    def named(name: str, context: SpanContext = CONTEXT) -> ReadableSpan:
        return ReadableSpan(name, context, resource=Resource({}))

    bad: Sequence[ReadableSpan] = (
        named(None),  # type: ignore[arg-type]  # what an application may do
        named(7),  # type: ignore[arg-type]
        ReadableSpan("no context", None, resource=Resource({})),
    )
    request, errors = encode_spans([named("first"), *bad, named("last")])
    spans = ExportTraceServiceRequest.FromString(request).resource_spans[0].scope_spans[0].spans
    assert [span.name for span in spans if span.name] == ["first", "last"]
    assert len(errors) == 2


def test_nothing_is_an_empty_request() -> None:
    """No spans, no bytes."""
    assert encode_spans([]) == (b"", [])
    assert encode_logs([]) == (b"", [])
