# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Noise makes no spans, and what it finds to do makes them all the same."""

from contextlib import suppress

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_backendai import request_id
from otel_backendai.hops.quiet_span import woken_already
from otel_backendai.hops.span_scope import SpanScope, with_request_id
from tests.conftest import Telemetry


def quiet_run(telemetry: Telemetry) -> SpanScope:
    """A quiet run in a context of its own."""
    tracer = telemetry.provider.get_tracer("test")
    context, origin = with_request_id(Context(), "background")
    return SpanScope(tracer, "run", SpanKind.INTERNAL, context, origin, quiet=True)


def call(telemetry: Telemetry, name: str = "call") -> SpanScope:
    """Something real in the current context."""
    return SpanScope(telemetry.provider.get_tracer("test"), name, SpanKind.CLIENT, context_api.get_current())


def by_name(telemetry: Telemetry) -> dict[str, ReadableSpan]:
    """The finished spans."""
    return {span.name: span for span in telemetry.spans}


def parent_of(span: ReadableSpan) -> int | None:
    """The ID of the parent span."""
    return span.parent.span_id if span.parent else None


def test_a_run_that_finds_nothing_to_do_leaves_nothing(telemetry: Telemetry) -> None:
    """No span, and a request ID while it runs."""
    run = quiet_run(telemetry)
    with run:
        assert request_id.read() is not None
    assert telemetry.spans == ()


def test_what_other_libraries_do_there_is_noise(telemetry: Telemetry) -> None:
    """Their spans below it are not recorded, and what they tell a peer is the decision not to record."""
    run = quiet_run(telemetry)
    carrier: dict[str, str] = {}
    with run, telemetry.provider.get_tracer("other").start_as_current_span("query"):
        TraceContextTextMapPropagator().inject(carrier)
    assert telemetry.spans == ()
    assert carrier["traceparent"].endswith("-00")


def test_real_work_wakes_the_run(telemetry: Telemetry) -> None:
    """The run's span begins when the run began, is the parent of all that is real, and has the same request ID."""
    run = quiet_run(telemetry)
    with run:
        value = request_id.read()
        with call(telemetry, "first"):
            pass
        with call(telemetry, "second"):
            pass
    spans = by_name(telemetry)
    assert list(spans) == ["first", "second", "run"]
    root = spans["run"]
    assert root.parent is None
    assert root.context is not None
    for name in ("first", "second"):
        assert parent_of(spans[name]) == root.context.span_id
        assert (spans[name].start_time or 0) >= (root.start_time or 0) > 0
    assert {(span.attributes or {})["backendai.request.id"] for span in spans.values()} == {value}
    assert (root.attributes or {})["backendai.request.origin.detail"] == "background"


def test_real_work_below_spans_of_others_wakes_it_too(telemetry: Telemetry) -> None:
    """Backend.AI 26.9 opens spans of its own between a tick and the RPC that it makes: not recorded, not in the way."""
    run = quiet_run(telemetry)
    other = telemetry.provider.get_tracer("other")
    with run, other.start_as_current_span("repository"), other.start_as_current_span("client"):
        real = call(telemetry)
        with real, other.start_as_current_span("inner"):
            pass
    spans = by_name(telemetry)
    assert list(spans) == ["inner", "call", "run"]
    assert spans["run"].context is not None
    assert spans["call"].context is not None
    assert parent_of(spans["call"]) == spans["run"].context.span_id
    assert parent_of(spans["inner"]) == spans["call"].context.span_id


def test_what_outlives_the_run_is_a_root(telemetry: Telemetry) -> None:
    """A task that noise left behind works under the run's request ID and in a trace of its own."""
    run = quiet_run(telemetry)
    with run:
        left, value = context_api.get_current(), request_id.read()
    token = context_api.attach(left)
    try:
        with call(telemetry):
            pass
    finally:
        context_api.detach(token)
    (span,) = telemetry.spans
    assert span.parent is None
    assert (span.attributes or {})["backendai.request.id"] == value


def test_http_calls_belong_to_what_is_awake(telemetry: Telemetry) -> None:
    """A context is changed for them when something real came before, and nothing is started for their sake."""
    run = quiet_run(telemetry)
    with run:
        assert woken_already(context_api.get_current()) is context_api.get_current()
        with call(telemetry):
            pass
        awake = get_current_span(woken_already(context_api.get_current()))
        assert awake.is_recording()
    assert [span.name for span in telemetry.spans] == ["call", "run"]


def test_a_failing_run_is_seen(telemetry: Telemetry) -> None:
    """An exception is not nothing: the run's span says what it was."""
    run = quiet_run(telemetry)
    try:
        with run:
            raise LookupError("gone")
    except LookupError:
        pass
    (span,) = telemetry.spans
    assert span.name == "run"
    assert span.status.status_code is StatusCode.ERROR


def test_noise_that_fails_inside_a_trace_is_seen(telemetry: Telemetry) -> None:
    """A span of its own below the one above; what was below it before stays where it was."""
    tracer = telemetry.provider.get_tracer("test")
    with tracer.start_as_current_span("above"):
        noise = SpanScope(tracer, "health", SpanKind.SERVER, context_api.get_current(), quiet=True)
        with suppress(LookupError), noise:
            with call(telemetry):
                pass
            raise LookupError("gone")
    spans = by_name(telemetry)
    above = spans["above"].context
    assert above is not None
    assert list(spans) == ["call", "health", "above"]
    assert parent_of(spans["call"]) == parent_of(spans["health"]) == above.span_id
    assert spans["health"].status.status_code is StatusCode.ERROR
    assert (spans["health"].start_time or 0) <= (spans["call"].start_time or 0)


def test_noise_inside_a_trace_opens_nothing(telemetry: Telemetry) -> None:
    """Below a sampled span: no span of its own, and what is below belongs to the span above, as without us."""
    tracer = telemetry.provider.get_tracer("test")
    with tracer.start_as_current_span("above") as above:
        noise = SpanScope(tracer, "health", SpanKind.SERVER, context_api.get_current(), quiet=True)
        with noise:
            assert get_current_span() is above
    assert [span.name for span in telemetry.spans] == ["above"]
