# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What is read from a receiver's answer, whatever it is."""

import math

from hypothesis import given
from hypothesis import strategies as st

from otel_backendai.otlp.answers import reason, rejection, retry_after
from otel_backendai.otlp.connection import Answer

PROTOBUF = {"content-type": "application/x-protobuf"}
DATE_LIKE = st.text("MonTueJanGMT 0123456789:,+-", max_size=40)


@given(st.text() | DATE_LIKE)
def test_any_retry_after(text: str) -> None:
    """A number of seconds that can be waited for, or nothing."""
    seconds = retry_after(Answer(503, {"retry-after": text}, b""))
    assert seconds is None or 0 <= seconds < math.inf


def test_dates_at_the_ends_of_time() -> None:
    """With offsets that lead beyond the calendar."""
    for text in (
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Fri, 31 Dec 9999 23:59:59 -0000",
        "Mon, 01 Jan 0001 00:00:00 +99999999",
    ):
        assert (retry_after(Answer(503, {"retry-after": text}, b"")) or 0.0) >= 0.0


@given(st.binary())
def test_any_body(body: bytes) -> None:
    """Nothing raises, and what goes into a log line is one line of bounded length."""
    found = rejection(Answer(200, PROTOBUF, body))
    assert found is None or (found.reason.isprintable() and len(found.reason) <= 200)
    text = reason(Answer(400, PROTOBUF, body))
    assert text.startswith("status 400")
    assert text.isprintable()
    assert reason(Answer(400, {}, body)) == "status 400"
