# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What watches over a cluster: health checks and scrapes, every few seconds, for as long as nobody else asks."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.realstack.stack.asking import ask
from tests.realstack.stack.settings import Stack

# Of a probe; a scrape is usually less often.
_PERIOD: Final = 5.0
NO_ANSWER: Final = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """A health or metrics endpoint of a component: the base URL that it listens at, and the path."""

    component: str
    base: str
    path: str


def read_probes(stack: Stack) -> list[Probe]:
    """Those of a stack that is up; ``release_probes`` of its release names them."""
    return list(probes_of((stack.directory / "probes").read_text().splitlines()))


def probes_of(lines: Sequence[str]) -> Iterator[Probe]:
    """What ``release_probes`` prints: component, port and paths, a line for each port."""
    for line in lines:
        component, port, *paths = line.split()
        yield from (Probe(component, f"http://127.0.0.1:{port}", path) for path in paths)


def keep_probing(probes: Sequence[Probe], seconds: float) -> Mapping[Probe, list[int]]:
    """Ask all of them again and again; the status of each answer, or ``NO_ANSWER``."""
    answers: dict[Probe, list[int]] = {probe: [] for probe in probes}
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        for probe in probes:
            answers[probe].append(_ask(probe))
        time.sleep(max(0.0, min(began + _PERIOD, end) - time.monotonic()))
    return answers


def _ask(probe: Probe) -> int:
    try:
        return ask(probe.base + probe.path)
    except OSError:
        return NO_ANSWER
