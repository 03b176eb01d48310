# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Logging as an application does it: one handler on the root logger, one line per record on standard error."""

import json
import logging
import logging.config
from typing import Any

# What every record has, as Backend.AI's JSON formatter (python-json-logger's) tells it from what was added to one. Not
# by makeLogRecord(), whose factory adds the IDs itself with contrib's logging instrumentor before the 0.61 train.
_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"asctime", "message", "taskName"}


class JSONLines(logging.Formatter):
    """One JSON object per record: time, level, logger, message, and whatever was added to the record."""

    def __init__(self, component: str) -> None:
        super().__init__()
        self._component = component

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "timestamp": self.formatTime(record),
            "level": record.levelname,
            "component": self._component,
            "name": record.name,
            "message": record.getMessage(),
        }
        fields.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        if record.exc_info:
            fields["exc_info"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def configure_logging(component: str, level: str = "INFO", form: str = "text") -> None:
    """Send the log lines of this process to standard error, each naming `component`.

    `request_id`, `otelTraceID` and `otelSpanID` are printed where a record has them, `-` otherwise; with the form
    `json` each line is an object that has them where the record has.
    """
    line = (
        "{asctime} {levelname:<7} "
        + component
        + " [{process}] request_id={request_id} trace_id={otelTraceID} span_id={otelSpanID} {name}: {message}"
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {
                    # A factory, because dictConfig itself passes `defaults` on from Python 3.12 only.
                    "()": logging.Formatter,
                    "fmt": line,
                    "style": "{",
                    "defaults": {"request_id": "-", "otelTraceID": "-", "otelSpanID": "-"},
                },
                "json": {"()": JSONLines, "component": component},
            },
            "handlers": {
                "stderr": {"class": "logging.StreamHandler", "formatter": "json" if form == "json" else "line"}
            },
            "root": {"level": level, "handlers": ["stderr"]},
        }
    )
