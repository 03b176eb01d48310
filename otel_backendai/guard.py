# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The one guard between our code and the application: no exception of ours reaches it (docs/architecture.md, rule 1).

A guard covers our statements only, never the wrapped call, so the application's own exceptions pass untouched::

    with _INJECT:
        inject_into(body)
    return await wrapped(*args, **kwargs)  # outside the guard
"""

import logging
import os
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType

from otel_backendai.names import SETTING_STRICT

_logger = logging.getLogger(__name__)

# True in our own test suite: there a bug has to fail a test instead of hiding behind the guard.
strict = os.environ.get(SETTING_STRICT) == "1"

# A guard in the way of log records must not report by a log record that fails in turn, for ever.
_reporting: ContextVar[bool] = ContextVar("otel_backendai_guard_reporting", default=False)


class Guard:
    """A reusable context manager that swallows every :class:`Exception` of the block and logs it at debug level.

    ``BaseException`` (cancellation, interpreter exit) always passes. Stateless, so one instance per place serves
    all requests at the cost of two method calls.

    Args:
        where: Names the guarded step in the log line, for example ``"rpc: inject"``.
    """

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if kind is None:
            return False
        if strict or not issubclass(kind, Exception):
            return False
        # The class only: the text of an exception may quote what a hostile client sent.
        if not _reporting.get():
            token = _reporting.set(True)
            with suppress(Exception):  # the application's logging may raise, too
                _logger.debug("%s failed: %s", self._where, kind.__qualname__)
            _reporting.reset(token)
        return True
