# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the log relay adds to a record; the relays themselves are tested in their releases."""

import logging

import pytest

from otel_backendai.api import bind_request_id
from otel_backendai.releases.log_relay import fields_of, text_suffix

IDS = {"request_id": "req-1", "otelTraceID": "0" * 31 + "1", "otelSpanID": "0" * 15 + "2"}


def record(**attributes: object) -> logging.LogRecord:
    """A record with these attributes."""
    return logging.makeLogRecord({"msg": "x", **attributes})


def test_a_record_of_a_request() -> None:
    """All three, or the request ID alone where there was no span."""
    assert fields_of(record(**IDS)) == IDS
    assert fields_of(record(request_id="req-1", otelTraceID="0", otelSpanID="0")) == {"request_id": "req-1"}


@pytest.mark.parametrize("attributes", [{}, {"request_id": None, "otelTraceID": "0", "otelSpanID": "0"}])
def test_a_record_of_no_request_gets_nothing(attributes: dict[str, object]) -> None:
    """Neither fields nor text, and the sign to end that the relay sends instead of a record has none either."""
    assert fields_of(record(**attributes)) == fields_of(None) == {}
    assert text_suffix(record(**attributes)) == ""


@pytest.mark.parametrize("hostile", ["a b", "\x1b[31m", "x" * 129, 7, "\udcff"])
def test_hostile_text_is_replaced_by_the_bound_id(hostile: object) -> None:
    """What a client sent and Backend.AI put into its log fields reaches no log line through us."""
    assert fields_of(record(request_id=hostile)) == {}
    with bind_request_id("req-1"):
        assert fields_of(record(request_id=hostile)) == {"request_id": "req-1"}


def test_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """One bracket at the end of the message; OTEL_BACKENDAI_LOG_TEXT switches it off."""
    assert text_suffix(record(request_id="req-1")) == " [request_id=req-1]"
    full = f" [request_id=req-1 trace_id={IDS['otelTraceID']} span_id={IDS['otelSpanID']}]"
    assert text_suffix(record(**IDS)) == full
    for off in ("0", "false", " FALSE "):
        monkeypatch.setenv("OTEL_BACKENDAI_LOG_TEXT", off)
        assert text_suffix(record(**IDS)) == ""
    monkeypatch.setenv("OTEL_BACKENDAI_LOG_TEXT", "1")
    assert text_suffix(record(**IDS)) == full
