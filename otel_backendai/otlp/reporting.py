# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What cannot be exported is reported: in a line at once, then in one line a minute at the most."""

import logging
import time

_logger = logging.getLogger(__name__)

_INTERVAL = 60.0


class FailureLog:
    """Warns of lost items.

    Args:
        what: Plural, for example ``spans``.
        where: The receiver, without credentials.
    """

    def __init__(self, what: str, where: str) -> None:
        self._what = what
        self._where = where
        self._lost = 0
        self._silent_until = 0.0

    def failed(self, count: int, reason: str) -> None:
        """Count ``count`` items as lost, and say so unless a line said it a short while ago."""
        self._lost += count
        now = time.monotonic()
        if now < self._silent_until:
            return
        _logger.warning("cannot export to %s: %s (%s lost: %d)", self._where, reason, self._what, self._lost)
        self._lost = 0
        self._silent_until = now + _INTERVAL
