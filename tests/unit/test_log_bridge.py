# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Records of ``logging`` as OpenTelemetry log records: each once, whatever it holds and whoever forks."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import pytest
from opentelemetry import _logs
from opentelemetry._logs import Logger, get_logger
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.trace import SpanKind
from opentelemetry.util._once import Once

from otel_backendai.hops.background import run_scope
from otel_backendai.hops.event_spans import producer_scope
from otel_backendai.hops.logs import RequestIdFilter
from otel_backendai.sdk import contrib_logging, log_bridge
from tests.conftest import Telemetry
from tests.unit.conftest import output_of


class Collected(LogRecordProcessor):
    """Keeps the records that it is given; ``emit`` is the name up to the 1.38 train."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def on_emit(self, log_record: Any) -> None:
        """Keep it."""
        self.records.append(log_record.log_record)

    emit = on_emit

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """There is nothing to do."""
        return True

    @property
    def attributes(self) -> list[dict[str, Any]]:
        """The attributes of each."""
        return [dict(record.attributes or {}) for record in self.records]


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collected]:
    """What the bridge sends."""
    collected = Collected()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(collected)
    monkeypatch.setattr("opentelemetry._logs._internal._LOGGER_PROVIDER", None)
    monkeypatch.setattr("opentelemetry._logs._internal._LOGGER_PROVIDER_SET_ONCE", Once())
    _logs.set_logger_provider(provider)
    log_bridge.HOP.install()
    yield collected
    log_bridge.HOP.uninstall()


class SilentError(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise ValueError("no text")


def test_an_exception_without_a_text_costs_no_record(exported: Collected) -> None:
    """The record says what can be said."""
    try:
        raise SilentError
    except SilentError:
        logging.getLogger("application").exception("it failed")
    (attributes,) = exported.attributes
    assert attributes["exception.type"] == "SilentError"
    assert "exception.message" not in attributes
    assert "raise SilentError" in attributes["exception.stacktrace"]


@pytest.mark.parametrize(
    ("message", "arguments", "body"),
    [("it is %s", (SilentError(),), "it is %s"), ("%d of %d", (1,), "%d of %d"), (SilentError(), (), "SilentError")],
    ids=["no text", "too few", "no text at all"],
)
def test_a_message_that_cannot_be_put_together_costs_no_record(
    exported: Collected, message: object, arguments: tuple[object, ...], body: str
) -> None:
    """It says what can be said; that the application's own handlers complain is theirs."""
    logger = logging.Logger("application")
    logger.addHandler(logging.NullHandler())
    logger.warning(message, *arguments)
    assert [record.body for record in exported.records] == [body]


def test_what_exceptions_quote_is_redacted(exported: Collected) -> None:
    """As on spans: a URL with a token in an exception's text, and in its stack trace."""
    try:
        raise OSError("cannot reach http://storage/upload?token=SECRET")
    except OSError:
        logging.getLogger("application").exception("it failed")
    (attributes,) = exported.attributes
    assert attributes["exception.message"] == "cannot reach http://storage/upload?token=REDACTED"
    assert "SECRET" not in attributes["exception.stacktrace"]


def test_records_without_a_process_are_exported(exported: Collected, monkeypatch: pytest.MonkeyPatch) -> None:
    """`logging.logProcesses` may be off."""
    monkeypatch.setattr(logging, "logProcesses", False)
    logging.getLogger("application").warning("here")
    assert len(exported.records) == 1


def test_records_without_a_function_are_exported(exported: Collected, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody puts them together by hand; nothing complains of it."""
    record = logging.makeLogRecord({"name": "application", "msg": "here", "levelno": logging.WARNING})
    logging.getLogger("application").handle(record)
    (attributes,) = exported.attributes
    assert "code.function.name" not in attributes
    assert caplog.records == [record]


def child_hangs() -> bool:
    """Whether a child that is forked now waits for ever when it logs."""
    child = os.fork()
    if not child:
        signal.alarm(5)
        try:
            log_bridge._emit(logging.LogRecord("child", logging.WARNING, __file__, 1, "here", (), None))
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_logs_while_its_parent_was_logging(exported: Collected) -> None:
    """No lock of ours, nor one of an import, is taken in the child for ever."""
    logger, over = logging.getLogger("application"), threading.Event()

    def log() -> None:
        while not over.is_set():
            logger.warning("again")

    writers = [threading.Thread(target=log, daemon=True) for _ in range(3)]
    for writer in writers:
        writer.start()
    hung = 0
    try:
        for _ in range(40):
            hung += child_hangs()
    finally:
        over.set()
        for writer in writers:
            writer.join(10)
    assert hung == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_logs_while_its_parent_was_finding_a_logger(
    exported: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock under which the SDK finds a logger (up to its 1.39 train) is not taken in the child for ever."""
    lock, entered, find = threading.Lock(), threading.Event(), get_logger

    def slow(name: str) -> Logger:
        with lock:
            entered.set()
            time.sleep(0.2)
            return find(name)

    monkeypatch.setattr(log_bridge, "get_logger", slow)
    writer = threading.Thread(target=logging.getLogger("application").warning, args=("here",))
    writer.start()
    assert entered.wait(5)
    hung = child_hangs()
    writer.join(10)
    assert not hung
    assert len(exported.records) == 1


def test_nothing_is_imported_for_a_record(exported: Collected, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that fails is tried again each time, under a lock, and costs more than the record."""

    asked: list[str] = []

    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            asked.append(name)

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    logging.getLogger("application").warning("here")
    assert len(exported.records) == 1
    assert asked == []


def test_each_record_once_beside_contribs_handler() -> None:
    """Contrib's instrumentor, which exports records from the 0.61 train on, exports none while ours does."""
    code = """
import logging, logging.config
from opentelemetry import _logs
from opentelemetry.sdk._logs import LoggerProvider
from tests.unit.test_log_bridge import Collected
collected = Collected()
provider = LoggerProvider(shutdown_on_exit=False)
provider.add_log_record_processor(collected)
_logs.set_logger_provider(provider)
from otel_backendai.sdk import contrib_logging, log_bridge
log_bridge.HOP.install()
contrib_logging.HOP.install()
from opentelemetry.instrumentation.logging import LoggingInstrumentor
LoggingInstrumentor().instrument()
logging.getLogger("application").warning("first")
logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "root": {"level": "INFO"}})
logging.getLogger("application").warning("second")
log_bridge.HOP.uninstall()
logging.getLogger("application").warning("contrib's")
print(*(record.body for record in collected.records))
"""
    contribs = "" if find_spec(contrib_logging.MODULE) is None else " contrib's"
    assert output_of(code) == "first second" + contribs


def test_contribs_handler_is_restored() -> None:
    """Where this train has one: it exports log records from 0.61 on."""
    if find_spec(contrib_logging.MODULE) is None:
        assert version("opentelemetry-instrumentation-logging") < "0.61"
        return
    emit = import_module(contrib_logging.MODULE).LoggingHandler.emit
    contrib_logging.HOP.install()
    assert import_module(contrib_logging.MODULE).LoggingHandler.emit is not emit
    contrib_logging.HOP.uninstall()
    assert import_module(contrib_logging.MODULE).LoggingHandler.emit is emit


def test_what_a_record_factory_adds_is_exported() -> None:
    """Also when the application set its factory before the bridge was imported."""
    code = """
import logging
made = logging.getLogRecordFactory()
def factory(*args, **kwargs):
    record = made(*args, **kwargs)
    record.tenant = "blue"
    return record
logging.setLogRecordFactory(factory)
from opentelemetry import _logs
from opentelemetry.sdk._logs import LoggerProvider
from tests.unit.test_log_bridge import Collected
from otel_backendai.sdk import log_bridge
collected = Collected()
provider = LoggerProvider(shutdown_on_exit=False)
provider.add_log_record_processor(collected)
_logs.set_logger_provider(provider)
log_bridge.HOP.install()
logging.getLogger("application").warning("here")
print([attributes.get("tenant") for attributes in collected.attributes])
"""
    assert output_of(code) == "['blue']"


def ids_of(record: Any) -> tuple[int, int]:
    """Trace and span ID of an exported record; zeros where it has none."""
    return record.trace_id or 0, record.span_id or 0


def test_a_sleeping_run_names_no_trace(exported: Collected, telemetry: Telemetry) -> None:
    """What stands for the span of a run that found nothing to do is exported no more than printed: nobody finds it."""
    with run_scope("tick", Context(), quiet=True):
        logging.getLogger("application").warning("asleep")
        with producer_scope("session_started"):
            pass
        logging.getLogger("application").warning("awake")
    asleep, awake = exported.records
    (run,) = telemetry.of_kind(SpanKind.INTERNAL)
    assert run.context is not None
    assert ids_of(asleep) == (0, 0)
    assert ids_of(awake) == (run.context.trace_id, run.context.span_id)
    assert awake.trace_flags.sampled


def test_a_record_keeps_the_ids_that_it_was_made_with(exported: Collected, telemetry: Telemetry) -> None:
    """Handed on inside another span, as by a queue of the application, it says what its text says."""
    logger = logging.getLogger("application")
    with telemetry.provider.get_tracer("test").start_as_current_span("first") as first:
        logger.warning("here")
        record = logger.makeRecord("application", logging.WARNING, __file__, 1, "later", (), None)
        RequestIdFilter().filter(record)
    with telemetry.provider.get_tracer("test").start_as_current_span("second"):
        logger.handle(record)
    here, later = exported.records
    expected = first.get_span_context()
    assert ids_of(here) == ids_of(later) == (expected.trace_id, expected.span_id)


@pytest.mark.parametrize("hostile", [None, "", "nothing", "-1", "f" * 33, 7, b"1"])
def test_what_is_no_id_is_the_current_spans(exported: Collected, telemetry: Telemetry, hostile: object) -> None:
    """Anybody may set these attributes of a record to anything; the record is exported all the same."""
    with telemetry.provider.get_tracer("test").start_as_current_span("current") as span:
        extra = {"otelTraceID": hostile, "otelSpanID": hostile}
        logging.getLogger("application").warning("here", extra=extra)
    (record,) = exported.records
    assert ids_of(record) == (span.get_span_context().trace_id, span.get_span_context().span_id)
