# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What is kept with a session: read only when it is well-formed, and with nothing of an application's baggage."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, get_current_span, set_span_in_context

from otel_backendai import request_id
from otel_backendai.propagators.kept_value import (
    MAX_VALUE_LENGTH,
    parse_kept_status,
    parse_kept_value,
    render_kept_value,
)

PARENT = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, False, TraceFlags(1))
CONTEXT = set_span_in_context(NonRecordingSpan(PARENT), request_id.bind("request-1", Context()))
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_there_and_back() -> None:
    """Request ID, trace and time come back; the parent is a remote one, in another process as in this."""
    value = render_kept_value(CONTEXT, 1_700_000_000.25)
    parsed = parse_kept_value(value)
    assert parsed is not None
    found, at = parsed
    span = get_current_span(found).get_span_context()
    assert (span.trace_id, span.span_id, span.trace_flags, span.is_remote) == (
        PARENT.trace_id,
        PARENT.span_id,
        PARENT.trace_flags,
        True,
    )
    assert (request_id.read(found), at) == ("request-1", 1_700_000_000.25)


def test_baggage_of_the_application_is_not_stored() -> None:
    """Of the baggage only the request ID: the rest may be anybody's secret."""
    value = render_kept_value(baggage.set_baggage("user", "secret", CONTEXT), 1.0)
    assert value is not None
    assert "secret" not in value
    assert set(json.loads(value)) == {"request_id", "traceparent", "time"}


def test_nothing_to_keep() -> None:
    """A context of nobody's is not stored."""
    assert render_kept_value(Context(), 1.0) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"\xff",
        "[]",
        "{}",
        "nonsense",
        json.dumps({"request_id": "a"}),
        json.dumps({"request_id": "a", "time": "now"}),
        json.dumps({"request_id": "a", "time": True}),
        json.dumps({"request_id": "a", "time": -1}),
        '{"request_id": "a", "time": NaN}',
        '{"request_id": "a", "time": 1e999}',
        json.dumps({"request_id": "a b", "time": 1}),
        json.dumps({"request_id": ["a"], "time": 1, "traceparent": TRACEPARENT}),
        json.dumps({"traceparent": "00-0-0-01", "time": 1}),
        json.dumps({"request_id": "a", "time": 1, "more": "x" * MAX_VALUE_LENGTH}),
        "[" * MAX_VALUE_LENGTH,
    ],
)
def test_only_what_is_well_formed_is_believed(value: object) -> None:
    """Anyone who may write to Redis may have written it."""
    assert parse_kept_value(value) is None


@given(st.one_of(st.text(), st.binary(), st.dictionaries(st.text(), st.integers()).map(json.dumps)))
def test_nothing_raises(value: object) -> None:
    """Whatever is found there, no exception comes of it."""
    assert parse_kept_value(value) is None


@pytest.mark.parametrize("at", [-1, 10**400, 1e26, time.time() + 36_000, True, "1", None])
def test_a_time_that_cannot_be_is_not_believed(at: object) -> None:
    """Of a span that it would begin: not before the epoch, not after now but for the clocks of other nodes."""
    assert parse_kept_value(f'{{"request_id": "req-1", "time": {json.dumps(at)}}}') is None
    assert parse_kept_value(json.dumps({"request_id": "req-1", "time": time.time() + 60})) is not None


@pytest.mark.parametrize(
    ("status", "expected"),
    [("PENDING", ("PENDING", 1.0)), ("", None), ("A B", None), (5, None), ("X" * 33, None), ("\u00e9", None)],
)
def test_a_status_is_one_word(status: object, expected: tuple[str, float] | None) -> None:
    """Anything else is none."""
    assert parse_kept_status(json.dumps({"request_id": "req-1", "time": 1, "session_status": status})) == expected
    assert parse_kept_status(render_kept_value(CONTEXT, 1.0, "PENDING")) == ("PENDING", 1.0)
    assert parse_kept_status(render_kept_value(CONTEXT, 1.0, "PREPARING", since=2.5)) == ("PREPARING", 2.5)
    assert parse_kept_status(render_kept_value(CONTEXT, 1.0)) is None


@pytest.mark.parametrize("since", [-1, "1", True, None, [], float("nan"), float("inf"), 10**400, time.time() + 3600])
def test_a_status_has_a_time_that_was(since: object) -> None:
    """Since a time that is none, or that is still to come, a session is in no status."""
    told = {"request_id": "req-1", "time": 1, "session_status": "PENDING", "status_since": since}
    assert parse_kept_status(json.dumps(told)) is None
