# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Logging as an application does it: one handler on the root logger, one line per record on standard error."""

import logging
import logging.config


def configure_logging(component: str, level: str = "INFO") -> None:
    """Send the log lines of this process to standard error, each naming `component`.

    `request_id`, `otelTraceID` and `otelSpanID` are printed where a record has them, `-` otherwise.
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
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"level": level, "handlers": ["stderr"]},
        }
    )
