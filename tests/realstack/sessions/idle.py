# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What a stack sends when nobody asks it for anything."""

from collections import Counter
from collections.abc import Mapping, Sequence

from otel_backendai.desk.model import Span
from tests.realstack.matrix.observation import component_of

# Spans a minute over all components: a stack that is left alone is not to fill a receiver.
MOST_IDLE_SPANS = 30


def spans_by_component(spans: Sequence[Span], start_ns: int, end_ns: int) -> dict[str, int]:
    """How many spans each component ended between two times (nanoseconds since the epoch)."""
    ended = Counter(component_of(span) for span in spans if start_ns <= span.end_ns < end_ns)
    return dict(sorted(ended.items()))


def noise_problems(counted: Mapping[str, int], seconds: float) -> list[str]:
    """What is wrong with that many spans in so many seconds."""
    each_minute = sum(counted.values()) * 60 / seconds
    if each_minute < MOST_IDLE_SPANS:
        return []
    parts = ", ".join(f"{name} {number}" for name, number in counted.items())
    return [f"{each_minute:.0f} spans a minute from an idle stack: {parts}"]
