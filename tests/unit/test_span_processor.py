# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The request ID on every span, and secrets off it."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from otel_backendai import request_id
from otel_backendai.api import bind_request_id
from otel_backendai.hops.span_errors import record_error
from otel_backendai.redaction import redact_text, redact_url
from otel_backendai.sdk.span_processor import RequestIdSpanProcessor, equip
from tests.conftest import Telemetry
from tests.unit.hostile import any_value

NAME = "backendai.request.id"


def test_the_interface_is_that_of_the_sdk() -> None:
    """Drift: every public method of SpanProcessor has its parameters in ours."""
    for name, theirs in inspect.getmembers(SpanProcessor, inspect.isfunction):
        if name.startswith("_"):
            continue
        own = getattr(RequestIdSpanProcessor, name)
        assert list(inspect.signature(own).parameters) == list(inspect.signature(theirs).parameters)


def attributes_of(telemetry: Telemetry) -> list[dict[str, Any]]:
    """The attributes of all spans."""
    return [dict(span.attributes or {}) for span in telemetry.spans]


def test_spans_of_other_libraries_get_the_request_id(telemetry: Telemetry) -> None:
    """A tracer that knows nothing of us: current context, explicit context, child of a child."""
    tracer = telemetry.provider.get_tracer("a.database.driver")
    with bind_request_id("req-1"), tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner"):
        pass
    tracer.start_span("explicit", context=request_id.bind("req-2", Context())).end()
    tracer.start_span("none").end()
    assert [attributes.get(NAME) for attributes in attributes_of(telemetry)] == ["req-1", "req-1", "req-2", None]


def test_an_explicit_context_wins_over_the_current_one(telemetry: Telemetry) -> None:
    """A span that is started for another request names that one; one started in no context names none."""
    tracer = telemetry.provider.get_tracer("other")
    with bind_request_id("current"):
        tracer.start_span("other", context=request_id.bind("other", Context())).end()
        tracer.start_span("nobody's", context=Context()).end()
    assert [attributes.get(NAME) for attributes in attributes_of(telemetry)] == ["other", None]


@any_value
def test_hostile_baggage_reaches_no_span(make: Callable[[], Any], telemetry: Telemetry) -> None:
    """Only an acceptable ID becomes an attribute."""
    token = context_api.attach(baggage.set_baggage(NAME, make()))
    try:
        telemetry.provider.get_tracer("other").start_span("s").end()
    finally:
        context_api.detach(token)
    assert attributes_of(telemetry) == [{}]


SECRETS = [
    ("https://s/upload?token=eyJ.abc.def", "https://s/upload?token=REDACTED"),
    ("https://s/upload?a=1&token=x&b=2", "https://s/upload?a=1&token=REDACTED&b=2"),
    ("token=x&session_token=y", "token=REDACTED&session_token=REDACTED"),
    ("/tus?TOKEN=x#part", "/tus?TOKEN=REDACTED#part"),
    ("?a=1;auth-token=x", "?a=1;auth-token=REDACTED"),
    ("?access_key=AKIA&secret_key=s&api_key=k", "?access_key=REDACTED&secret_key=REDACTED&api_key=REDACTED"),
    ("?password=p&jwt=j&sig=s", "?password=REDACTED&jwt=REDACTED&sig=REDACTED"),
    ("?token=a&token=b", "?token=REDACTED&token=REDACTED"),
    ("?token=", "?token=REDACTED"),
    ("https://w:5050/v2/proxy/auth?permit_key=abc&app=x", "https://w:5050/v2/proxy/auth?permit_key=REDACTED&app=x"),
    ("/openid/callback?code=4%2F0A&state=x", "/openid/callback?code=REDACTED&state=x"),
    ("https://user:pass@registry/v2/", "https://REDACTED@registry/v2/"),
    ("/v2/proxy/0f8fad5b-d9cb-469f/s/add?app=x", "/v2/proxy/REDACTED/s/add?app=x"),
    ("/v2/keypairs/AKIAIOSFODNN7EXAMPLE/ssh", "/v2/keypairs/REDACTED/ssh"),
    ("https://c/v2/proxy/AKIA/s/delete", "https://c/v2/proxy/REDACTED/s/delete"),
    ("https://c/v2/proxy/eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln/s/add?app=x", "https://c/v2/proxy/REDACTED/s/add?app=x"),
]


@pytest.mark.parametrize(("url", "expected"), SECRETS)
@pytest.mark.parametrize("attribute", ["url.full", "url.path", "url.query", "http.url", "http.target"])
def test_tokens_in_urls_are_redacted(attribute: str, url: str, expected: str, telemetry: Telemetry) -> None:
    """Upload and session tokens stand in query strings: their values leave no process."""
    telemetry.provider.get_tracer("other").start_span("s", attributes={attribute: url, "other": url}).end()
    assert attributes_of(telemetry) == [{attribute: expected, "other": url}]


@pytest.mark.parametrize("name", ["AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"])
def test_what_the_http_conventions_list_is_redacted(name: str) -> None:
    """`url.full` of the semantic conventions names four query parameters whose values are to be redacted."""
    assert redact_url(f"https://s/o?a=1&{name}=secret&b=2") == f"https://s/o?a=1&{name}=REDACTED&b=2"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://s/path",
        "https://s/token/x?a=1",
        "https://s/?tokens=3&tokenize=1",
        "/a=b?c=d",
        "/v2/proxy/auth?app=add",
        "?mytokenx=1",
        "?barcode=1&encode=2&statuscode=3",
        "/eyJ/x?eyJhbGciOiJ=1",
        "mail@example.org",
        "=&=?",
    ],
)
def test_urls_without_secrets_stay(url: str) -> None:
    """The text itself, unchanged."""
    assert redact_url(url) == url


TEXTS = [
    (
        "400, message='Bad', url='http://s:6021/upload?token=eyJ.a&dst_dir=x'",
        "400, message='Bad', url='http://s:6021/upload?token=REDACTED&dst_dir=x'",
    ),
    ('GET "http://c/status?a=1&sig=s" failed: code=7', 'GET "http://c/status?a=1&sig=REDACTED" failed: code=7'),
    ("Cannot connect to http://u:p@host:80 ssl:default", "Cannot connect to http://REDACTED@host:80 ssl:default"),
    ("token eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln is expired", "token REDACTED is expired"),
    ("max_tokens=5; nothing", "max_tokens=5; nothing"),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_exceptions_that_quote_urls(text: str, expected: str, telemetry: Telemetry) -> None:
    """The secret is gone from message, stack trace and status, the rest of the sentence is not."""
    with telemetry.provider.get_tracer("t").start_as_current_span("s") as span:
        record_error(span, RuntimeError(text))
    (finished,) = telemetry.spans
    attributes = finished.events[0].attributes or {}
    assert attributes["exception.message"] == finished.status.description == expected
    assert str(attributes["exception.stacktrace"]).strip().endswith(expected)


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_other_libraries_exceptions_that_quote_urls(text: str, expected: str, telemetry: Telemetry) -> None:
    """A span of contrib's or of Backend.AI's own that ends by an exception: its event and its status, nothing else."""
    with (
        suppress(RuntimeError),
        telemetry.provider.get_tracer("other").start_as_current_span("s") as span,
    ):
        span.add_event("one more", {"url": text, "count": 2, "urls": ["a", "b"]})
        raise RuntimeError(text)
    (finished,) = telemetry.spans
    one_more, exception = finished.events
    assert dict(one_more.attributes or {}) == {"url": expected, "count": 2, "urls": ("a", "b")}
    attributes = exception.attributes or {}
    assert attributes["exception.type"] == "RuntimeError"
    assert attributes["exception.message"] == expected
    # The last line; above it stands this test's own source, which names no URL.
    assert str(attributes["exception.stacktrace"]).splitlines()[-1] == f"RuntimeError: {expected}"
    assert (finished.status.status_code, finished.status.description) == (
        StatusCode.ERROR,
        f"RuntimeError: {expected}",
    )


def test_a_redacted_event_keeps_the_rest() -> None:
    """Its name, its time, and how many attributes it had to drop."""
    provider = TracerProvider(shutdown_on_exit=False, span_limits=SpanLimits(max_event_attributes=1))
    exporter = InMemorySpanExporter()
    equip(provider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    span = provider.get_tracer("other").start_span("s")
    span.add_event("quoting", {"first": "1", "url": "http://s/?token=x"}, timestamp=5)
    span.end()
    (event,) = exporter.get_finished_spans()[0].events
    assert (event.name, event.timestamp, dict(event.attributes or {})) == (
        "quoting",
        5,
        {"url": "http://s/?token=REDACTED"},
    )
    assert event.dropped_attributes == 1


def test_events_without_secrets_stay() -> None:
    """The objects themselves, unchanged: nothing is made anew."""
    provider = TracerProvider(shutdown_on_exit=False)
    equip(provider)
    span = provider.get_tracer("other").start_span("s")
    assert isinstance(span, ReadableSpan)
    span.add_event("e", {"url": "http://s/?a=1"})
    attributes = span.events[0].attributes
    span.set_status(StatusCode.ERROR, "http://s/?a=1")
    status = span.status
    span.end()
    assert span.events[0].attributes is attributes
    assert span.status is status


def test_processors_that_came_first_see_nothing_secret_either() -> None:
    """An application's own provider, whose exporter was there before us and exports as soon as a span ends."""
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    equip(provider)
    span = provider.get_tracer("other").start_span("s")
    span.set_status(StatusCode.ERROR, "http://s/?token=x")
    span.end()
    assert exporter.get_finished_spans()[0].status.description == "http://s/?token=REDACTED"


def test_a_long_url_is_redacted_in_linear_time() -> None:
    """A megabyte of separators and word characters is no attack on the pattern; bounded by the test run itself."""
    repeated = "?", "&a", "a-", "?token", "-eyJ", ".eyJaaaaaaaa", "://", "/v2/proxy/a"
    for url in (f"?{part * 200_000}=@" for part in repeated):
        redact_url(url)
        redact_text(url)


def test_attributes_of_other_types_pass(telemetry: Telemetry) -> None:
    """A library may set what it likes."""
    telemetry.provider.get_tracer("other").start_span("s", attributes={"url.full": 5, "url.query": ("a", "b")}).end()
    assert attributes_of(telemetry) == [{"url.full": 5, "url.query": ("a", "b")}]


class BrokenSpan(Span):
    """A span that refuses attributes."""

    def set_attribute(self, key: str, value: Any) -> None:
        """Raise."""
        raise RuntimeError("no attributes")


@pytest.mark.usefixtures("lenient")
def test_a_span_that_refuses_attributes_costs_nothing() -> None:
    """Rule 1: `on_start` runs inside of `start_span` of the application."""
    # `__new__`: the SDK's spans are made by tracers only.
    processor = RequestIdSpanProcessor()
    broken: BrokenSpan = object.__new__(BrokenSpan)
    processor.on_start(broken, request_id.bind("req-1", Context()))


def test_equipping_is_done_once() -> None:
    """Two loaders, one processor; what is no provider of the SDK is left alone."""
    provider = TracerProvider(shutdown_on_exit=False)
    exporter = InMemorySpanExporter()
    counted: list[str] = []

    class Counting(SpanProcessor):
        def on_start(self, span: Span, parent_context: Context | None = None) -> None:
            counted.append(str((span.attributes or {}).get(NAME)))

    for _ in range(3):
        equip(provider)
    processors = provider._active_span_processor._span_processors
    assert len(processors) == 1
    provider.add_span_processor(Counting())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with bind_request_id("req-1"):
        provider.get_tracer("t").start_span("s").end()
    assert counted == ["req-1"]
    for other in (None, object(), trace.NoOpTracerProvider(), trace.ProxyTracerProvider()):
        equip(other)


def test_flush_and_shutdown() -> None:
    """There is nothing to wait for."""
    processor = RequestIdSpanProcessor()
    assert processor.force_flush() is True
    processor.shutdown()


def test_urls_that_are_set_after_the_start_are_redacted(telemetry: Telemetry) -> None:
    """Contrib's aiohttp-server sets its URL on a span that has started, up to the 0.60 train."""
    tracer = telemetry.provider.get_tracer("other")
    with bind_request_id("req-1"):
        for attributes in ({}, {NAME: "req-1"}):
            span = tracer.start_span("GET", attributes=attributes)
            span.set_attribute("http.url", "http://storage/upload?token=SECRET")
            span.set_attribute("kept", "as it is")
            span.end()
    expected = {NAME: "req-1", "http.url": "http://storage/upload?token=REDACTED", "kept": "as it is"}
    assert attributes_of(telemetry) == [expected, expected]


def test_lists_of_texts_in_events_are_redacted(telemetry: Telemetry) -> None:
    """Each of them, also beside what is no text; other lists stay."""
    span = telemetry.provider.get_tracer("other").start_span("GET")
    some: Any = [None, "http://a/?token=SECRET", None]
    span.add_event("tried", {"urls": ["http://a/?token=SECRET", "http://b/"], "some": some, "numbers": [1, 2]})
    span.end()
    (event,) = telemetry.spans[0].events
    assert dict(event.attributes or {}) == {
        "urls": ("http://a/?token=REDACTED", "http://b/"),
        "some": (None, "http://a/?token=REDACTED", None),
        "numbers": (1, 2),
    }


@pytest.mark.parametrize("name", ["api-key", "access_key", "token[]", "token[0]", "Authorization", "pwd"])
def test_other_ways_to_name_a_secret(name: str) -> None:
    """With a dash, as one of a list, and what headers are called."""
    assert redact_url(f"https://s/o?a=1&{name}=secret&b=2") == f"https://s/o?a=1&{name}=REDACTED&b=2"


def test_a_password_with_an_at_sign() -> None:
    """All of it is the user's; an address in a path is not."""
    assert redact_text("cannot reach redis://user:p@ss@cache:6379/0") == "cannot reach redis://REDACTED@cache:6379/0"
    assert redact_url("http://host/path/me@example.org?mail=me@example.org") == (
        "http://host/path/me@example.org?mail=me@example.org"
    )
