# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What a receiver's answer says: try again and when, how much was rejected and why."""

import datetime
import email.utils
from dataclasses import dataclass

from otel_backendai.otlp.connection import Answer
from otel_backendai.otlp.reader import WireError, length_tag, read_fields, varint_tag

# OTLP/HTTP, "Retryable Response Codes": these and no others.
_RETRYABLE = {429, 502, 503, 504}

# ExportTracePartialSuccess and ExportLogsPartialSuccess, in field 1 of the response; google.rpc.Status has its text in
# field 2 as well.
_PARTIAL_SUCCESS = length_tag(1)
_REJECTED, _MESSAGE = varint_tag(1), length_tag(2)
_MAX_MESSAGE = 200


@dataclass(frozen=True)
class Rejection:
    """What a receiver did not take of a batch that it accepted: how many items, and its reason."""

    count: int
    reason: str


def is_success(answer: Answer) -> bool:
    """Whether the batch arrived. A redirect is none: credentials go to the receiver that was named."""
    return 200 <= answer.status < 300


def is_retryable(answer: Answer) -> bool:
    """Whether the same batch may be sent again."""
    return answer.status in _RETRYABLE


def retry_after(answer: Answer) -> float | None:
    """The seconds that the receiver wants to be left alone, from either form of ``Retry-After``; else ``None``."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isdecimal():
        # Cut before it is a number: Python refuses to convert one of thousands of digits.
        return float(text[:12])
    try:
        when = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    # "-0000" gives a naive time, in UTC.
    when = when if when.tzinfo else when.replace(tzinfo=datetime.UTC)
    return max(0.0, (when - datetime.datetime.now(datetime.UTC)).total_seconds())


def rejection(answer: Answer) -> Rejection | None:
    """What a successful answer rejects or warns of; ``None`` for the usual one, and for what cannot be read."""
    partial = _fields(answer.body).get(_PARTIAL_SUCCESS)
    if not isinstance(partial, bytes):
        return None
    fields = _fields(partial)
    count, reason = fields.get(_REJECTED, 0), _message(fields)
    if not isinstance(count, int) or not (count or reason):
        return None
    return Rejection(count, reason)


def reason(answer: Answer) -> str:
    """The status, and the text of the ``google.rpc.Status`` that comes with an error."""
    protobuf = answer.headers.get("content-type", "").startswith("application/x-protobuf")
    message = _message(_fields(answer.body)) if protobuf else ""
    return f"status {answer.status}" + (f" ({message})" if message else "")


def _message(fields: dict[int, int | bytes]) -> str:
    content = fields.get(_MESSAGE, b"")
    if not isinstance(content, bytes):
        return ""
    return one_line(content.decode(errors="replace"))


def one_line(text: str) -> str:
    """What somebody else says, as part of a log line: of a length that can be read, and without control characters."""
    return "".join(character if character.isprintable() else " " for character in text[:_MAX_MESSAGE])


def _fields(content: bytes) -> dict[int, int | bytes]:
    """The last value of each tag; nothing for what cannot be read."""
    try:
        return dict(read_fields(content))
    except WireError:
        return {}
