# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Which components a request has reached, and which not."""

from collections.abc import Sequence
from dataclasses import dataclass

from otel_backendai.cli.trace_source import Answer
from otel_backendai.cli.trace_tree import start_us
from otel_backendai.component import COMPONENTS


@dataclass(frozen=True, slots=True)
class Components:
    """Names of components.

    Args:
        reached: Have a span or a log line in the answer; in the order of time.
        not_reached: Have none, and are known to the source.
        unheard: Components of Backend.AI of which the source has no span at all; they may not export any.
    """

    reached: Sequence[str]
    not_reached: Sequence[str]
    unheard: Sequence[str]

    def lists(self) -> Sequence[tuple[str, Sequence[str]]]:
        """The lists with their titles."""
        return (
            ("reached", self.reached),
            ("not reached", self.not_reached),
            ("no span of these at the source, ever", self.unheard),
        )


def components_of(answer: Answer) -> Components:
    """The components of an answer."""
    first: dict[str, int] = {}
    for spans in answer.traces:
        for span in spans:
            first[span.service] = min(start_us(span), first.get(span.service, start_us(span)))
    for line in answer.logs:
        first.setdefault(line.service, start_us(line))
    reached = sorted(first, key=lambda name: (first[name], name))
    not_reached = sorted(set(answer.services) - set(reached))
    return Components(reached, not_reached, sorted(COMPONENTS - {*reached, *answer.services}))
