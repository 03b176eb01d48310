# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What happens again and again is told of ever more seldom."""

import pytest

from otel_backendai.releases import dwindling
from otel_backendai.releases.dwindling import AGAIN, LIMIT, Dwindling


def _times(told: Dwindling, thing: str, since: float, seconds: int, step: int = 1) -> list[float]:
    return [now for now in range(seconds) if now % step == 0 and told.is_due(thing, since, now)]


def test_the_first_ones_are_told() -> None:
    """Few of them cost nothing and say the most."""
    assert _times(Dwindling(), "a", 0.0, LIMIT) == list(range(LIMIT))


def test_after_the_limit_it_takes_twice_as_long_each_time() -> None:
    """At least a minute, and then as much time again as has gone by."""
    later = _times(Dwindling(), "a", 0.0, 4000)[LIMIT:]
    assert later[0] == LIMIT - 1 + AGAIN
    assert later[1:] == [182, 364, 728, 1456, 2912]


def test_each_thing_and_each_part_of_its_life_counts_for_itself() -> None:
    """Another thing, or the same in a later status, is not held to what was told before."""
    told = Dwindling()
    _times(told, "a", 0.0, 100)
    assert not told.is_due("a", 0.0, 101.0)
    assert told.is_due("b", 0.0, 101.0)
    assert told.is_due("a", 100.5, 101.0)


def test_things_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Things that never end do not fill the memory."""
    monkeypatch.setattr(dwindling, "DEFAULT_LIMIT", 3)
    told = Dwindling()
    for number in range(100):
        told.is_due(str(number), 0.0, 1.0)
    assert len(told._told) == 3
