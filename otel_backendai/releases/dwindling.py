# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What happens to one thing again and again: so many times it is worth a span, and then ever more seldom."""

from dataclasses import dataclass
from typing import Final

from otel_backendai.hops.kept_settings import DEFAULT_LIMIT
from otel_backendai.hops.recent import Recent

# How many times, and the least time from one to the next after these; seconds.
LIMIT: Final = 32
AGAIN: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Told:
    """How many were told of since ``since``, the last at ``until``; seconds."""

    since: float
    until: float
    times: int = 0


class Dwindling:
    """Counts, for ten thousand things at the most, what was told of each. Called from one thread at a time."""

    def __init__(self) -> None:
        self._told: Recent[str, _Told] = Recent(DEFAULT_LIMIT)

    def is_due(self, thing: str, since: float, now: float) -> bool:
        """Whether it is told once more; then it counts as told.

        Args:
            thing: What it happens to.
            since: When that began which it is a part of (a stay in a status, a request); another one counts anew.
            now: The time; both in seconds.

        Returns:
            True up to the limit, and after that when twice as much time has gone by as when it was told last.
        """
        told = self._told.get(thing)
        if told is None or told.since != since:
            told = _Told(since, since)
        if told.times >= LIMIT and now - told.until < max(AGAIN, told.until - since):
            return False
        self._told.put(thing, _Told(since, now, told.times + 1))
        return True

    def clear(self) -> None:
        """Count everything anew."""
        self._told.clear()
