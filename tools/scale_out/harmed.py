# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The harmed run: one of two gateways is killed under load and comes back. Nothing is sampled away, so that what does
not arrive was lost."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools.scale_out.cluster import running_cluster
from tools.scale_out.load import Load, load_of
from tools.scale_out.sink import Sink
from tools.scale_out.traffic import SPANS_PER_TRACE, Traffic, trace_id_of

DECISION_WAIT = 3
# Longer than nodes wait between two attempts (retry_on_failure of node.yaml, gRPC's own), and gateways for a decision.
_QUIET = 15.0
_SETTLE_TIMEOUT = 120.0
_ASK_JAEGER_EVERY = 40
_POLL = 0.1


@dataclass(frozen=True, slots=True)
class Harm:
    """What was sent and what became of it, after the gateways.

    Args:
        traces, spans: Sent, and taken by the nodes.
        whole, parts, lost: Traces that came out with all spans, with some, with none.
        spans_lost: That did not come out.
        harmed_elsewhere: Traces of the surviving gateway, or of none, that are not whole.
        repeated: Spans that a gateway received twice.
        asked, agreed: Traces that Jaeger was asked for, and of which it had as many spans as came out.
        down: Seconds from the kill to when the gateway served again.
        usual_delay: The longest way of a trace from the nodes' answer to a gateway before the kill, in seconds.
        steady_after: Seconds from when the gateway served again to the arrival of the last trace that had taken
            longer than twice that; 0 when there was none.
    """

    traces: int
    spans: int
    whole: int
    parts: int
    lost: int
    spans_lost: int
    harmed_elsewhere: int
    repeated: int
    asked: int
    agreed: int
    refusals: int
    down: float
    usual_delay: float
    steady_after: float
    seconds: float
    loads: Sequence[Load]


def run_harmed(
    binaries: Path, directory: Path, *, traces: int, spans_per_second: float, kill_after: float, down_for: float
) -> Harm:
    """Send ``traces`` traces, and meanwhile kill the second gateway and start it again.

    Args:
        binaries: Holds ``jaeger`` and ``otelcol``.
        directory: Takes the logs.
        traces: How many.
        spans_per_second: How fast.
        kill_after: Seconds after the first span.
        down_for: Seconds from the kill to the start.

    Raises:
        RuntimeError: A process does not serve, or a node answers with an error.
    """
    settings = {"DECISION_WAIT": f"{DECISION_WAIT}s", "SAMPLE_PERCENT": "100"}
    with running_cluster(binaries, directory, settings) as cluster:
        traffic = Traffic(cluster.node_urls, traces, spans_per_second)
        killed = cluster.gateways[1]
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(traffic.send)
            threading.Event().wait(kill_after)
            killed.kill()
            killed_at = time.monotonic()
            threading.Event().wait(down_for)
            killed.start()
            back_at = time.monotonic()
            sending.result()
        _settle(cluster.sink)
        kept = cluster.sink.kept.traces()
        received = cluster.sink.received.traces()
        out = [sum(kept.get(trace_id_of(number), {}).values()) for number in range(traces)]
        elsewhere = sum(
            count < SPANS_PER_TRACE and killed.name not in received.get(trace_id_of(number), {})
            for number, count in enumerate(out)
        )
        asked = range(0, traces, _ASK_JAEGER_EVERY)
        agreed = sum(cluster.stored_spans(trace_id_of(number)) == out[number] for number in asked)
        usual, late = _delays(cluster.sink, traffic, killed_at)
    return Harm(
        traces=traces,
        spans=traffic.spans,
        whole=sum(count == SPANS_PER_TRACE for count in out),
        parts=sum(0 < count < SPANS_PER_TRACE for count in out),
        lost=out.count(0),
        spans_lost=traffic.spans - sum(out),
        harmed_elsewhere=elsewhere,
        repeated=cluster.sink.received.repeated,
        asked=len(asked),
        agreed=agreed,
        refusals=traffic.refusals,
        down=back_at - killed_at,
        usual_delay=usual,
        steady_after=max(0.0, late - back_at),
        seconds=traffic.seconds,
        loads=load_of(cluster, traffic.spans),
    )


def _settle(sink: Sink) -> None:
    deadline = time.monotonic() + _SETTLE_TIMEOUT
    while time.monotonic() - max(sink.received.last_arrival, sink.kept.last_arrival) < _QUIET:
        if time.monotonic() > deadline:
            raise RuntimeError("spans still arrive two minutes after the last was sent")
        time.sleep(_POLL)


def _delays(sink: Sink, traffic: Traffic, killed_at: float) -> tuple[float, float]:
    """The longest way of a trace that had arrived before the kill, and when the last one came that took twice that."""
    arrived = sink.received.arrived
    ways = [
        (arrived[trace_id] - traffic.sent_at(number), arrived[trace_id])
        for number in range(traffic.traces)
        if (trace_id := trace_id_of(number)) in arrived
    ]
    usual = max((way for way, at in ways if at < killed_at), default=0.0)
    return usual, max((at for way, at in ways if way > 2 * usual), default=0.0)
