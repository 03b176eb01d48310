# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What an application's error says on a span, and any text from outside: bounded, redacted, fit to be exported."""

import traceback
from contextlib import suppress

from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.exception_attributes import (
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
)
from opentelemetry.trace import Span, Status, StatusCode

from otel_backendai.redaction import redact_text

# aiohttp accepts header lines of 8190 bytes; a span per request must not let a client fill our queues with them.
MAX_ATTRIBUTE_LENGTH = 1024
# The end of a stack trace says where; recursion makes the rest of it megabytes.
MAX_STACKTRACE_LENGTH = 16_384
# What is looked at for secrets before it is cut to that.
_MAX_TRACEBACK_LENGTH = 4 * MAX_STACKTRACE_LENGTH


def record_error(span: Span, error: Exception, error_type: str | None = None, message: str | None = None) -> None:
    """Put ``error`` on ``span``: exception event, ``error.type``, status with the message; arguments as of ``fail``."""
    if not span.is_recording():
        return
    kind = type(error)
    qualified = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if message is None:
        message = ""
        with suppress(Exception):  # its own text may raise
            message = str(error)
    # Exceptions of HTTP clients quote the URL that failed. Redacted first: a secret that is cut is not recognised.
    message = clean_text(redact_text(message[:MAX_STACKTRACE_LENGTH]))
    # Not span.record_exception: it takes the text as it is, and one lone surrogate spoils the export of a whole batch.
    stacktrace = redact_text("".join(traceback.format_exception(error))[-_MAX_TRACEBACK_LENGTH:])
    span.add_event(
        "exception",
        {
            EXCEPTION_TYPE: qualified,
            EXCEPTION_MESSAGE: message,
            EXCEPTION_STACKTRACE: clean_text(stacktrace[-MAX_STACKTRACE_LENGTH:], MAX_STACKTRACE_LENGTH),
        },
    )
    span.set_attribute(ERROR_TYPE, error_type or qualified)
    span.set_status(Status(StatusCode.ERROR, message))


def clean_text(text: str, length: int = MAX_ATTRIBUTE_LENGTH) -> str:
    """Text from outside as an attribute: bounded, and without the lone surrogates that would spoil a whole export."""
    text = text[:length]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
