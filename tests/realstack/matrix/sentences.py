# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Problems as sentences, few of one kind."""

from collections.abc import Iterable

_SHOWN = 3


def some(problems: Iterable[str]) -> list[str]:
    """The different ones among ``problems``, shortened to a few and a count."""
    different = list(dict.fromkeys(problems))
    more = [f"and {len(different) - _SHOWN} more like this"] if len(different) > _SHOWN else []
    return different[:_SHOWN] + more


def nothing_expected(expected: object) -> list[str]:
    """A problem when ``hops.toml`` names nothing for a hop that it does not call absent."""
    return [] if expected else ["hops.toml names no component"]
