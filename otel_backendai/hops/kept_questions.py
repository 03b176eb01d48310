# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What a process asks the store for: each thing once, once more somewhat later, and who waits for the answer."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from otel_backendai.hops.kept import Kept
from otel_backendai.hops.recent import Recent

# A context that nobody kept is asked for once more after this time, in seconds: the writer may have been behind us.
_ASK_AGAIN: Final = 5.0
_MAX_WAITING: Final = 16

Act = Callable[[Kept], None]


@dataclass(slots=True)
class _Question:
    at: float
    times: int = 1
    is_open: bool = False
    waiting: list[Act] = field(default_factory=list)


class Questions:
    """The things that the store was asked about.

    Args:
        limit: How many are remembered; beyond it those asked for the longest time ago go, and who waits for them.
    """

    def __init__(self, limit: int) -> None:
        self._lock = Lock()
        self._questions: Recent[str, _Question] = Recent(limit)

    def begin(self, identifier: str, act: Act | None = None) -> bool:
        """Whether the store is to be asked now; who does not get an answer calls :meth:`forget`.

        Args:
            identifier: The thing's ID.
            act: What waits for an answer that is to come. Dropped when none is: it would be kept for nothing.
        """
        now = time.monotonic()
        with self._lock:
            question = self._questions.get(identifier)
            is_due = question is None
            if question is None:
                question = _Question(now)
                self._questions.put(identifier, question)
            elif question.times == 1 and now - question.at > _ASK_AGAIN:
                is_due, question.times = True, 2
            question.is_open = question.is_open or is_due
            if act is not None and question.is_open and len(question.waiting) < _MAX_WAITING:
                question.waiting.append(act)
            return is_due

    def end(self, identifier: str) -> list[Act]:
        """Take note of an answer, and hand over what waited for it."""
        with self._lock:
            question = self._questions.get(identifier)
            if question is None:
                return []
            question.is_open, waiting, question.waiting = False, question.waiting, []
            return waiting

    def forget(self, identifier: str) -> None:
        """Take a question back that could not be asked: the next one may be."""
        with self._lock:
            self._questions.forget(identifier)
