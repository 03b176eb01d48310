# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""One log record per record of ``logging`` beside contrib's logging instrumentor.

From the 0.61 train on it puts a handler that exports on the root logger, and puts it back after each ``dictConfig``. It
sends nothing while our bridge does.
"""

import logging
from collections.abc import Callable
from typing import Any

from otel_backendai.patching import Hop
from otel_backendai.sdk import log_bridge

HOP = Hop("contrib_logging")

MODULE = "opentelemetry.instrumentation.logging.handler"


@HOP.wraps(MODULE, "LoggingHandler.emit")
def _wrap_emit(original: Callable[..., None]) -> Callable[..., None]:
    def emit(self: Any, record: logging.LogRecord) -> None:
        if not (HOP.active and log_bridge.HOP.active):
            original(self, record)

    return emit
