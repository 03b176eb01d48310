# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Request ID, trace and span ID through Backend.AI's log relay, into console, file, logstash and graylog.

Every process hands its records to a thread of the component's parent process, over ZeroMQ. What goes over is a dict of
fixed keys packed by ``msgpack`` (24.03 on), or the record pickled as it is (23.09). There JSON (file) and graylog
formatters print whatever attribute a record has; logstash's handler writes fixed keys, and console lines have a fixed
format without a place for them, so the IDs stand at the end of the message.
"""

import copy
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops.logs import HOP, NO_SPAN
from otel_backendai.names import LOG_REQUEST_ID, LOG_SPAN_ID, LOG_TRACE_ID, SETTING_LOG_TEXT

_RELAY = Guard("log relay")
_TEXT = Guard("log relay: text")
_FIELDS = (LOG_REQUEST_ID, LOG_TRACE_ID, LOG_SPAN_ID)
_LABELS = ((LOG_REQUEST_ID, LOG_REQUEST_ID), (LOG_TRACE_ID, "trace_id"), (LOG_SPAN_ID, "span_id"))

# The handlers are called with a record and make their own dict of it, in one synchronous call.
_handling = threading.local()


def fields_of(record: logging.LogRecord | None) -> dict[str, str]:
    """Return the IDs that ``record`` was made with, all of them text; nothing for one made outside of any request."""
    attributes = vars(record) if record is not None else {}
    fields: dict[str, str] = {}
    value = attributes.get(LOG_REQUEST_ID)
    if value is not None and not request_id.is_acceptable(value):
        # What the application passed in `extra` may be what a hostile client sent; ours was minted for it.
        value = request_id.read()
    if value is not None:
        fields[LOG_REQUEST_ID] = str(value)
    for name in (LOG_TRACE_ID, LOG_SPAN_ID):
        value = attributes.get(name)
        if isinstance(value, str) and value != NO_SPAN:
            fields[name] = value
    return fields


def _packed_record(record: logging.LogRecord) -> logging.LogRecord:
    """A copy of ``record`` with the IDs of the one being handled, or with none, as if we were not there."""
    packed = copy.copy(record)
    for name in _FIELDS:
        vars(packed).pop(name, None)
    vars(packed).update(fields_of(getattr(_handling, "record", None) or record))
    return packed


class _Packing:
    """Stands for the module by which a handler packs: ``msgpack``, Backend.AI's wrapper of it, or ``pickle``."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def packb(self, body: Any, *args: Any, **kwargs: Any) -> Any:
        """Pack ``body`` with the IDs of the record being handled; ``None`` is the relay's sign to end."""
        if HOP.active:
            with _RELAY:
                if type(body) is dict:
                    body = {**fields_of(getattr(_handling, "record", None)), **body}
        return self._module.packb(body, *args, **kwargs)

    def dumps(self, record: Any, *args: Any, **kwargs: Any) -> Any:
        """Pickle ``record``, also the substitute that the handler makes when a record cannot be pickled."""
        if HOP.active:
            with _RELAY:
                if isinstance(record, logging.LogRecord):
                    record = _packed_record(record)
        return self._module.dumps(record, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


@HOP.wraps("ai.backend.logging.handler.intrinsic", "msgpack")
@HOP.wraps("ai.backend.common.logging", "msgpack")
@HOP.wraps("ai.backend.common.logging", "pickle")
def _wrap_packing(original: Any) -> _Packing:
    return _Packing(original)


@HOP.wraps("ai.backend.logging.handler.intrinsic", "RelayHandler.emit")
@HOP.wraps("ai.backend.common.logging", "RelayHandler.emit")
@HOP.wraps("ai.backend.logging.handler.logstash", "LogstashHandler.emit")
@HOP.wraps("ai.backend.common.logging", "LogstashHandler.emit")
def _wrap_emit(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def emit(self: Any, record: Any) -> None:
        if not HOP.active:
            return original(self, record)
        previous = getattr(_handling, "record", None)
        _handling.record = record
        try:
            return original(self, record)
        finally:
            _handling.record = previous

    return emit


@HOP.wraps("ai.backend.logging.handler.logstash", "OrderedDict")
@HOP.wraps("ai.backend.common.logging", "OrderedDict")
def _wrap_ordered_dict(original: Any) -> Callable[..., Any]:
    # What logstash's handler makes its event of, for all of its transports.
    def make(*args: Any, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        if HOP.active:
            with _RELAY:
                made.update(fields_of(getattr(_handling, "record", None)))
        return made

    return make


@HOP.wraps("ai.backend.logging.formatter", "ConsoleFormatter.formatMessage")
@HOP.wraps("ai.backend.logging.formatter", "ColorizedFormatter.formatMessage")
@HOP.wraps("ai.backend.common.logging", "ConsoleFormatter.formatMessage")
@HOP.wraps("ai.backend.common.logging", "ColorizedFormatter.formatMessage")
# 23.09 has no class of its own for colours; that of 24.03 is a subclass of this one.
@HOP.wraps("ai.backend.common.logging", "coloredlogs.ColoredFormatter.formatMessage")
def _wrap_format_message(original: Callable[[Any, Any], str]) -> Callable[[Any, Any], str]:
    # Of the message, not of the whole entry: a stack trace follows it.
    def formatMessage(self: Any, record: logging.LogRecord) -> str:  # noqa: N802  # the name of what it replaces
        text = original(self, record)
        if HOP.active:
            with _TEXT:
                suffix = text_suffix(record)
                # A subclass calls up to a class that is wrapped as well.
                return text if text.endswith(suffix) else text + suffix
        return text

    return formatMessage


def text_suffix(record: logging.LogRecord) -> str:
    """Return what is added to a text line: `` [request_id=... trace_id=... span_id=...]``.

    Nothing (``""``) for a record without a request ID, or when ``OTEL_BACKENDAI_LOG_TEXT`` is ``0`` or ``false``.
    """
    fields = fields_of(record)
    if LOG_REQUEST_ID not in fields or os.environ.get(SETTING_LOG_TEXT, "").strip().lower() in ("0", "false"):
        return ""
    return f" [{' '.join(f'{label}={fields[name]}' for name, label in _LABELS if name in fields)}]"
