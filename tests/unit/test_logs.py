# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Every log record carries request ID, trace ID and span ID."""

import asyncio
import io
import logging
import logging.config
import logging.handlers
import os
import queue
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, format_span_id, format_trace_id

from otel_backendai import request_id
from otel_backendai.api import bind_request_id
from otel_backendai.hops.logs import RequestIdFilter
from otel_backendai.hops.quiet_span import real_span
from otel_backendai.hops.span_scope import SpanScope
from tests.conftest import Telemetry

FORMAT = "%(request_id)s %(otelTraceID)s %(otelSpanID)s %(message)s"


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep."""
        self.records.append(record)


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of the application, with a handler that keeps."""
    made = logging.getLogger("application.part")
    made.setLevel(logging.DEBUG)
    made.propagate = False
    yield made
    for handler in list(made.handlers):
        made.removeHandler(handler)
    made.filters.clear()
    made.propagate = True
    made.setLevel(logging.NOTSET)


@pytest.fixture
def kept(logger: logging.Logger) -> Kept:
    """What the logger's handler got."""
    handler = Kept()
    logger.addHandler(handler)
    return handler


@pytest.fixture
def formatted(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a stream handler with all three fields in its format wrote; a formatting error fails the test."""

    class Strict(logging.StreamHandler[io.StringIO]):
        def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name of what it replaces
            raise AssertionError("the handler could not format the record")

    stream = io.StringIO()
    handler = Strict(stream)
    handler.setFormatter(logging.Formatter(FORMAT))
    logger.addHandler(handler)
    return stream


def test_every_record_of_a_request(telemetry: Telemetry, logger: logging.Logger, kept: Kept) -> None:
    """Request ID, trace and span ID of the moment, at every level, with and without a span."""
    with bind_request_id("req-1"):
        logger.debug("no span")
        with telemetry.provider.get_tracer("t").start_as_current_span("s") as span:
            logger.critical("span %s", 1)
    logger.info("outside")
    without, within, outside = kept.records
    assert (without.request_id, without.otelTraceID, without.otelSpanID) == ("req-1", "0", "0")
    context = span.get_span_context()
    assert within.request_id == "req-1"
    assert within.otelTraceID == format_trace_id(context.trace_id)
    assert within.otelSpanID == format_span_id(context.span_id)
    assert (outside.request_id, outside.otelTraceID, outside.otelSpanID) == (None, "0", "0")


def test_the_applications_extra_wins(telemetry: Telemetry, logger: logging.Logger, kept: Kept) -> None:
    """Backend.AI passes `request_id` in `extra`: no KeyError, and its value is kept."""
    with bind_request_id("req-1"):
        logger.info("x", extra={"request_id": "own", "otelTraceID": "t", "otelSpanID": "s", "other": 1})
    (record,) = kept.records
    assert (record.request_id, record.otelTraceID, record.otelSpanID, record.other) == ("own", "t", "s", 1)


def test_an_empty_extra_is_filled(telemetry: Telemetry, logger: logging.Logger, kept: Kept) -> None:
    """`extra={"request_id": None}` is what Backend.AI passes where it lost the ID."""
    with bind_request_id("req-1"):
        logger.info("x", extra={"request_id": None})
        logging.LoggerAdapter(logger, {"request_id": None}).info("y")
    assert [record.request_id for record in kept.records] == ["req-1", "req-1"]


@pytest.mark.parametrize("own", ["otelTraceID", "otelSpanID"])
def test_each_field_is_kept_and_filled_by_itself(
    own: str, telemetry: Telemetry, logger: logging.Logger, formatted: io.StringIO
) -> None:
    """One field of the application does not take the other from the record, nor is it overwritten."""
    with telemetry.provider.get_tracer("t").start_as_current_span("s") as span:
        logger.info("message", extra={own: "own"})
    context = span.get_span_context()
    ids = {"otelTraceID": format_trace_id(context.trace_id), "otelSpanID": format_span_id(context.span_id), own: "own"}
    assert formatted.getvalue() == f"None {ids['otelTraceID']} {ids['otelSpanID']} message\n"


def test_a_format_may_name_the_fields(telemetry: Telemetry, logger: logging.Logger, formatted: io.StringIO) -> None:
    """No KeyError, in a request or outside of any, with exceptions and with arguments."""
    logger.info("outside")
    with bind_request_id("req-1"):
        logger.warning("with %s", "arguments")
        try:
            raise KeyError("x")
        except KeyError:
            logger.exception("failed")
    lines = formatted.getvalue().splitlines()
    assert lines[:3] == ["None 0 0 outside", "req-1 0 0 with arguments", "req-1 0 0 failed"]


def test_filters_of_loggers_and_handlers_see_it(telemetry: Telemetry, logger: logging.Logger, kept: Kept) -> None:
    """An application may sort its records by request."""
    seen: list[Any] = []

    def remember(record: Any) -> bool:
        seen.append(record.request_id)
        return bool(record.request_id)

    logger.addFilter(remember)
    kept.addFilter(remember)
    with bind_request_id("req-1"):
        logger.info("x")
    logger.info("y")
    assert seen == ["req-1", "req-1", None]
    assert len(kept.records) == 1


def test_child_loggers_that_do_not_propagate(telemetry: Telemetry) -> None:
    """Backend.AI's own loggers do not reach the root: theirs are complete all the same."""
    child = logging.getLogger("application.island")
    handler = Kept()
    child.addHandler(handler)
    child.propagate = False
    try:
        with bind_request_id("req-1"):
            child.warning("x")
            logging.getLogger("application.island.deep.er").warning("y")
    finally:
        child.removeHandler(handler)
        child.propagate = True
    assert [record.request_id for record in handler.records] == ["req-1", "req-1"]


def test_dict_config_after_activation(telemetry: Telemetry) -> None:
    """An application configures logging after we were switched on: nothing of ours is in what it replaces."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    stream = io.StringIO()
    try:
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": True,
                "formatters": {"f": {"format": FORMAT}},
                "handlers": {"h": {"class": "logging.StreamHandler", "stream": stream, "formatter": "f"}},
                "loggers": {"application.configured": {"handlers": ["h"], "level": "INFO", "propagate": False}},
            }
        )
        with bind_request_id("req-1"):
            logging.getLogger("application.configured").info("x")
    finally:
        root.handlers[:], root.level = before[0], before[1]
        for name, existing in logging.root.manager.loggerDict.items():
            if isinstance(existing, logging.Logger) and name != "application.configured":
                existing.disabled = False
    assert stream.getvalue() == "req-1 0 0 x\n"


def test_through_a_queue(telemetry: Telemetry, logger: logging.Logger) -> None:
    """A listener's thread has no request: the record keeps what it was made with."""
    waiting: queue.Queue[Any] = queue.Queue()
    logger.addHandler(logging.handlers.QueueHandler(waiting))
    handler = Kept()
    listener = logging.handlers.QueueListener(waiting, handler)
    with bind_request_id("req-1"):
        logger.info("x")
    logger.info("y")
    with bind_request_id("listener"):
        listener.start()
        listener.stop()
    assert [record.request_id for record in handler.records] == ["req-1", None]


def test_a_relay_in_the_same_process_changes_nothing(telemetry: Telemetry, logger: logging.Logger, kept: Kept) -> None:
    """A record made outside of any request, handed to a logger again while one is bound, stays without."""
    logger.info("outside")
    with bind_request_id("req-1"):
        logger.info("inside")
    first, second = list(kept.records)
    with bind_request_id("relay"), telemetry.provider.get_tracer("t").start_as_current_span("relay"):
        logger.handle(first)
        logger.handle(second)
    assert (first.request_id, first.otelTraceID) == (None, "0")
    assert (second.request_id, second.otelTraceID) == ("req-1", "0")


def test_a_record_of_another_process_is_left_as_it_came(
    telemetry: Telemetry, logger: logging.Logger, kept: Kept
) -> None:
    """A relay works for every worker: its own request is not that of the record."""
    foreign = logging.makeLogRecord({"msg": "x", "process": os.getpid() + 1, "levelno": logging.INFO})
    named = logging.makeLogRecord(
        {"msg": "x", "process": os.getpid() + 1, "levelno": logging.INFO, "request_id": "theirs"}
    )
    with bind_request_id("relay"):
        logger.handle(foreign)
        logger.handle(named)
    assert "request_id" not in vars(foreign)
    assert "otelTraceID" not in vars(foreign)
    assert named.__dict__["request_id"] == "theirs"
    assert len(kept.records) == 2


def test_without_process_numbers(
    telemetry: Telemetry, logger: logging.Logger, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`logging.logProcesses = False` leaves the pid out: the record is ours."""
    monkeypatch.setattr(logging, "logProcesses", False)
    with bind_request_id("req-1"):
        logger.info("x")
    assert kept.records[0].request_id == "req-1"


async def test_concurrent_requests_do_not_mix(telemetry: Telemetry, logger: logging.Logger, kept: Kept) -> None:
    """Each line names the request of its own task."""

    async def work(number: int) -> None:
        with bind_request_id(f"req-{number}"):
            for _ in range(3):
                logger.info("%s", number)
                await asyncio.sleep(0)

    await asyncio.gather(*(work(number) for number in range(100)))
    assert len(kept.records) == 300
    assert all(record.request_id == f"req-{record.args[0]}" for record in kept.records)


def test_a_hostile_id_is_not_logged(telemetry: Telemetry, logger: logging.Logger, kept: Kept) -> None:
    """What is not acceptable is absent here too."""
    from opentelemetry import baggage

    token = context_api.attach(baggage.set_baggage("backendai.request.id", "evil\nline"))
    try:
        logger.info("x")
    finally:
        context_api.detach(token)
    assert kept.records[0].request_id is None


class BrokenSpan(NonRecordingSpan):
    """A foreign span whose context cannot be read."""

    asked = 0

    def get_span_context(self) -> SpanContext:
        """Count and raise."""
        BrokenSpan.asked += 1
        raise RuntimeError("no context")


@pytest.mark.usefixtures("lenient")
def test_a_stamp_that_fails_costs_the_application_nothing(
    telemetry: Telemetry, logger: logging.Logger, kept: Kept
) -> None:
    """Rule 1 where the guard itself logs: a failing stamp does not stamp its own complaint, and so on."""
    BrokenSpan.asked = 0
    guard_logger = logging.getLogger("otel_backendai.guard")
    level = guard_logger.level
    guard_logger.setLevel(logging.DEBUG)
    token = context_api.attach(trace.set_span_in_context(BrokenSpan(SpanContext(1, 1, False))))
    try:
        logger.info("x")
    finally:
        context_api.detach(token)
        guard_logger.setLevel(level)
    assert [record.msg for record in kept.records] == ["x"]
    assert BrokenSpan.asked <= 2


def test_the_public_filter(logger: logging.Logger, kept: Kept) -> None:
    """For handlers that see records of other origin: the same fields, nothing dropped, without the instrumentor."""
    kept.addFilter(RequestIdFilter())
    with bind_request_id("req-1"):
        logger.info("x")
        kept.handle(logging.makeLogRecord({"msg": "made by hand", "process": None}))
    assert [record.request_id for record in kept.records] == ["req-1", "req-1"]


def test_nothing_after_uninstalling(logger: logging.Logger, kept: Kept) -> None:
    """Without the hop a record is as Python makes it."""
    with bind_request_id("req-1"):
        logger.info("x")
    assert not hasattr(kept.records[0], "request_id")


def test_a_run_that_has_found_nothing_names_no_trace(logger: logging.Logger, kept: Kept, telemetry: Telemetry) -> None:
    """What stands for its span is nowhere to be found; once it is worth one, its lines and those below name that."""
    tracer = telemetry.provider.get_tracer("t")
    context = request_id.bind("req-1", Context())
    with SpanScope(tracer, "timer", SpanKind.INTERNAL, context, quiet=True) as scope:
        logger.info("before")
        with tracer.start_as_current_span("query"):
            logger.info("before, below")
        real_span(scope.span, wake=True)
        logger.info("after")
        with tracer.start_as_current_span("query"):
            logger.info("after, below")
    (span,) = telemetry.spans
    assert [(record.otelTraceID, record.otelSpanID) for record in kept.records] == [
        ("0", "0"),
        ("0", "0"),
        *[(format_trace_id(span.context.trace_id), format_span_id(span.context.span_id))] * 2,
    ]
    assert {record.request_id for record in kept.records} == {"req-1"}
