# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What a process of the run cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from tools.scale_out.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Load:
    """Of one process: ``peak_bytes`` of resident memory, and CPU time per span that it handled."""

    name: str
    peak_bytes: int
    cpu_micros_per_span: float


def load_of(cluster: Cluster, spans: int) -> Sequence[Load]:
    """Of a cluster that has ended; half of ``spans`` went through each node, and about half through each gateway."""
    half = [Load(p.name, p.peak_bytes, p.cpu_seconds / (spans / 2) * 1e6) for p in (*cluster.nodes, *cluster.gateways)]
    return [*half, Load(cluster.jaeger.name, cluster.jaeger.peak_bytes, cluster.jaeger.cpu_seconds / spans * 1e6)]
