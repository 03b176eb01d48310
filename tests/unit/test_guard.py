# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The one guard: no exception of ours reaches the application."""

import asyncio
import logging

import pytest

from otel_backendai.guard import Guard
from tests.unit.conftest import output_of, run_python


def fail(error: BaseException) -> str:
    """Raise under a guard; tells when the block was left without an exception."""
    with Guard("test: step"):
        raise error
    return "went on"


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError(), RecursionError(), StopIteration(), ExceptionGroup("g", [OSError()])]
)
@pytest.mark.usefixtures("lenient")
def test_an_exception_is_swallowed(error: Exception) -> None:
    """Every Exception ends at the guard."""
    assert fail(error) == "went on"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit(), asyncio.CancelledError()])
@pytest.mark.usefixtures("lenient")
def test_cancellation_and_exit_pass(error: BaseException) -> None:
    """BaseException is never ours."""
    with pytest.raises(type(error)) as caught:
        fail(error)
    assert caught.value is error


def test_our_own_suite_sees_the_exception() -> None:
    """Strict: a bug fails a test instead of hiding."""
    error = ValueError("x")
    with pytest.raises(ValueError, match="x") as caught:
        fail(error)
    assert caught.value is error


def test_strictness_is_a_setting() -> None:
    """OTEL_BACKENDAI_STRICT=1, and nothing else, re-raises."""
    code = "from otel_backendai.guard import Guard\nwith Guard('t'):\n raise ValueError\nprint('went on')"
    assert output_of(code) == "went on"
    assert output_of(code, OTEL_BACKENDAI_STRICT="0") == "went on"
    assert run_python(code, OTEL_BACKENDAI_STRICT="1").returncode == 1


@pytest.mark.usefixtures("lenient")
def test_the_log_names_step_and_class_at_debug_and_quotes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The text of an exception may quote a hostile client; no level above debug; no traceback."""
    with caplog.at_level(logging.DEBUG, "otel_backendai"):
        fail(ValueError("evil text"))
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert record.getMessage() == "test: step failed: ValueError"
    assert record.exc_info is None
    assert "evil" not in caplog.text


def test_a_block_that_succeeds_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The normal case is silent."""
    with caplog.at_level(logging.DEBUG), Guard("test: step"):
        pass
    assert not caplog.records


@pytest.mark.usefixtures("lenient")
def test_a_logging_set_up_that_raises_does_not_undo_the_guard() -> None:
    """A broken filter of the application is not called in vain: the guard's own log line must not raise either."""

    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("broken filter")

    logger = logging.getLogger("otel_backendai.guard")
    broken, level = Broken(), logger.level
    logger.addFilter(broken)
    logger.setLevel(logging.DEBUG)
    try:
        assert fail(ValueError()) == "went on"
    finally:
        logger.removeFilter(broken)
        logger.setLevel(level)


@pytest.mark.usefixtures("lenient")
def test_one_guard_serves_nested_and_concurrent_blocks() -> None:
    """Stateless: the inner failure ends the inner block only."""
    guard, seen = Guard("test"), []
    with guard:
        with guard:
            raise ValueError
        seen.append("outer")
    assert seen == ["outer"]
