# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The unharmed run: every trace whole at one gateway, and sampled by the rules of gateway.yaml."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from otel_backendai.names import ATTRIBUTE_REQUEST_ID
from tools.scale_out.cluster import Cluster, running_cluster
from tools.scale_out.load import Load, load_of
from tools.scale_out.traffic import CHOSEN_REQUEST_ID, SLOW_MS, SPANS_PER_TRACE, Kind, Traffic, kind_of, trace_id_of

_PERCENT = 10
_DECISION_WAIT = 3
_ARRIVAL_TIMEOUT = 120.0
# How many standard deviations the share of the rest may be off: by chance once in millions of runs.
_DEVIATIONS = 5
_ASKED_OF_JAEGER = 20
_POLL = 0.1


@dataclass(frozen=True, slots=True)
class Check:
    """A promise, whether it was kept, and what was seen."""

    promise: str
    kept: bool
    seen: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """All checks, and what the run cost."""

    checks: Sequence[Check]
    loads: Sequence[Load]
    seconds: float


def run_unharmed(binaries: Path, directory: Path, *, traces: int, spans_per_second: float) -> Outcome:
    """Send ``traces`` traces through two nodes and two gateways and compare what arrived with what was promised.

    Args:
        binaries: Holds ``jaeger`` and ``otelcol``.
        directory: Takes the logs.
        traces: At least a hundred.
        spans_per_second: How fast.

    Raises:
        RuntimeError: A process does not serve, or a node answers with an error.
    """
    settings = {
        "DECISION_WAIT": f"{_DECISION_WAIT}s",
        "SLOW_MS": str(SLOW_MS // 2),
        "SAMPLE_PERCENT": str(_PERCENT),
        "KEEP_REQUEST_IDS": f"[{CHOSEN_REQUEST_ID}]",
    }
    with running_cluster(binaries, directory, settings) as cluster:
        traffic = Traffic(cluster.node_urls, traces, spans_per_second)
        traffic.send()
        sink = cluster.sink
        _wait_for(lambda: sink.received.spans >= traffic.spans and sink.counted_calls >= traffic.spans)
        # Decisions are made every second, for what has waited long enough.
        _wait_for(
            lambda: time.monotonic() - max(sink.received.last_arrival, sink.kept.last_arrival) > _DECISION_WAIT + 2
        )
        checks = [*_routing(cluster, traffic), *_sampling(cluster, traffic), _jaeger(cluster, traffic)]
    return Outcome(checks, load_of(cluster, traffic.spans), traffic.seconds)


def _wait_for(arrived: Callable[[], bool]) -> None:
    """Wait until it has; when it does not, the checks tell what is missing."""
    deadline = time.monotonic() + _ARRIVAL_TIMEOUT
    while not arrived() and time.monotonic() < deadline:
        time.sleep(_POLL)


def _routing(cluster: Cluster, traffic: Traffic) -> list[Check]:
    sink = cluster.sink
    received = sink.received.traces()
    whole = sum(list(received.get(trace_id_of(n), {}).values()) == [SPANS_PER_TRACE] for n in range(traffic.traces))
    split = sum(len(gateways) > 1 for gateways in received.values())
    shares = Counter(gateway for gateways in received.values() for gateway in gateways)
    seen = ", ".join(f"{shares[gateway]} at {gateway}" for gateway in sorted(shares))
    return [
        Check("every trace is whole at one gateway", whole == traffic.traces and split == 0, f"{whole}: {seen}"),
        Check("no trace is split", split == 0, f"{split} split"),
        Check(
            "every span arrives, once",
            (sink.received.spans, sink.received.repeated) == (traffic.spans, 0),
            f"{sink.received.spans} of {traffic.spans}, {sink.received.repeated} repeated",
        ),
        Check("nothing is refused", traffic.refusals == 0, f"{traffic.refusals} refusals"),
        Check(
            "span metrics count all spans, sampled or not",
            sink.counted_calls == traffic.spans,
            f"{sink.counted_calls} of {traffic.spans}",
        ),
        Check(
            "no span metric has a request ID",
            bool(sink.metric_attributes) and ATTRIBUTE_REQUEST_ID not in sink.metric_attributes,
            ", ".join(sorted(sink.metric_attributes)),
        ),
    ]


def _sampling(cluster: Cluster, traffic: Traffic) -> list[Check]:
    kept = cluster.sink.kept.traces()
    made = Counter(kind_of(number) for number in range(traffic.traces))
    found = Counter(kind_of(number) for number in range(traffic.traces) if trace_id_of(number) in kept)
    parts = sum(list(gateways.values()) != [SPANS_PER_TRACE] for gateways in kept.values())
    checks = [
        Check(f"traces {kind.value} are kept", found[kind] == made[kind], f"{found[kind]} of {made[kind]}")
        for kind in (Kind.FAILED, Kind.SLOW, Kind.CHOSEN)
    ]
    rest, kept_rest = made[Kind.ORDINARY], found[Kind.ORDINARY]
    expected = rest * _PERCENT / 100
    tolerance = _DEVIATIONS * math.sqrt(expected * (1 - _PERCENT / 100))
    return [
        *checks,
        Check(
            f"of {Kind.ORDINARY.value} {_PERCENT} % are kept",
            abs(kept_rest - expected) <= tolerance,
            f"{kept_rest} of {rest}: {100 * kept_rest / rest:.1f} %",
        ),
        Check("what is kept is whole", parts == 0, f"{parts} of {len(kept)} in parts"),
    ]


def _jaeger(cluster: Cluster, traffic: Traffic) -> Check:
    kept = cluster.sink.kept.traces()
    numbers = [number for number in range(traffic.traces) if trace_id_of(number) in kept]
    asked = [n for kind in Kind for n in [n for n in numbers if kind_of(n) is kind][-_ASKED_OF_JAEGER:]]
    whole = sum(cluster.stored_spans(trace_id_of(number)) == SPANS_PER_TRACE for number in asked)
    return Check(
        "Jaeger has the kept traces, whole", bool(asked) and whole == len(asked), f"{whole} of {len(asked)} asked"
    )
