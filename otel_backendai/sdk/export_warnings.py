# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the official exporters warn of while a Collector is down: a line now and then, as ours do.

They log each attempt of each batch, some twenty lines a minute and process for as long as it lasts.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

_LOGGERS: Final = "opentelemetry.exporter."
_INTERVAL: Final = 60.0


class RareWarnings(logging.Filter):
    """Lets one record a minute of each level through, from warnings on, with the number of those that it kept back.

    Args:
        clock: Seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._silent_until: dict[int, float] = {}
        self._kept_back: dict[int, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether ``record`` is logged; nothing is asked of what is no warning."""
        level, now = record.levelno, self._clock()
        if level < logging.WARNING:
            return True
        if now < self._silent_until.get(level, now):
            self._kept_back[level] = self._kept_back.get(level, 0) + 1
            return False
        self._silent_until[level] = now + _INTERVAL
        count = self._kept_back.pop(level, 0)
        if count:
            # Without a percent sign: it may have to be formatted yet.
            record.msg = f"{record.msg} (more like it in the last minutes: {count})"
        return True


def limit_official_exporters() -> None:
    """Put one such filter before each logger of the official exporters that are imported, once."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if not name.startswith(_LOGGERS) or not isinstance(logger, logging.Logger):
            continue
        if not any(isinstance(one, RareWarnings) for one in logger.filters):
            logger.addFilter(RareWarnings())
