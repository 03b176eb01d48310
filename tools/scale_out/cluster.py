# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Two node Collectors, two gateways, one Jaeger and the sink that counts, on free ports of the loopback interface."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from tools.scale_out.processes import Process, free_address
from tools.scale_out.sink import Sink, running_sink

ROOT = Path(__file__).resolve().parents[2]
NODE_CONFIGS = ("collector-config.yaml", "examples/scale-out/node.yaml")
GATEWAY_CONFIG = "examples/scale-out/gateway.yaml"
_COUNTING_CONFIG = "tools/scale_out/counting.yaml"
_ANSWER_TIMEOUT = 10


@dataclass(frozen=True, slots=True)
class Cluster:
    """What runs. ``node_urls`` take OTLP/HTTP; ``jaeger_url`` answers Jaeger's query API."""

    sink: Sink
    node_urls: Sequence[str]
    jaeger_url: str
    nodes: Sequence[Process]
    gateways: Sequence[Process]
    jaeger: Process

    def stored_spans(self, trace_id: bytes) -> int:
        """How many different spans of the trace Jaeger has; 0 when it does not know the trace."""
        url = f"{self.jaeger_url}/api/traces/{trace_id.hex()}"
        try:
            with urlopen(url, timeout=_ANSWER_TIMEOUT) as answer:
                (trace,) = json.load(answer)["data"]
        except HTTPError as error:
            error.close()
            if error.code != 404:
                raise
            return 0
        return len({span["spanID"] for span in trace["spans"]})


def configs(*names: str) -> list[str]:
    """The arguments of the Collector for configuration files of the repository."""
    return [argument for name in names for argument in ("--config", str(ROOT / name))]


@contextmanager
def running_cluster(binaries: Path, directory: Path, gateway_settings: Mapping[str, str]) -> Iterator[Cluster]:
    """Start everything, end everything with the block.

    Args:
        binaries: Holds ``jaeger`` and ``otelcol``, as ``backends/build.sh`` prints it.
        directory: Takes the logs.
        gateway_settings: Environment variables of ``gateway.yaml``.

    Raises:
        RuntimeError: A process does not serve.
    """
    with ExitStack() as stack:
        sink = stack.enter_context(running_sink())
        jaeger_otlp, jaeger_query = free_address(), free_address()
        jaeger = _jaeger(binaries, directory, jaeger_otlp, jaeger_query)
        addresses = [free_address(), free_address()]
        gateways = [
            _gateway(binaries, directory, f"gateway-{number}", address, sink.url, jaeger_otlp, gateway_settings)
            for number, address in enumerate(addresses, 1)
        ]
        node_addresses = [free_address(), free_address()]
        nodes = [
            _node(binaries, directory, f"node-{number}", address, addresses)
            for number, address in enumerate(node_addresses, 1)
        ]
        for process in (jaeger, *gateways, *nodes):
            # Ended in reverse: nodes hand over what they hold before the gateways end.
            stack.callback(process.stop)
            process.start()
        node_urls = [f"http://{address}" for address in node_addresses]
        yield Cluster(sink, node_urls, f"http://{jaeger_query}", nodes, gateways, jaeger)


def _jaeger(binaries: Path, directory: Path, otlp: str, query: str) -> Process:
    health = free_address()
    settings = {
        "JAEGER_OTLP_GRPC": otlp,
        "JAEGER_OTLP_HTTP": free_address(),
        "JAEGER_QUERY_HTTP": query,
        "JAEGER_QUERY_GRPC": free_address(),
        "JAEGER_HEALTH": health,
        "JAEGER_MAX_TRACES": "100000",
    }
    command = [str(binaries / "jaeger"), *configs("backends/jaeger.yaml")]
    return Process("jaeger", command, settings, f"http://{health}/status", directory)


def _gateway(
    binaries: Path, directory: Path, name: str, address: str, sink: str, jaeger: str, settings: Mapping[str, str]
) -> Process:
    health = free_address()
    environment = {
        "GATEWAY_NAME": name,
        "OTLP_GRPC_ENDPOINT": address,
        "HEALTH_ENDPOINT": health,
        "JAEGER_ENDPOINT": jaeger,
        "SINK": f"{sink}/{name}",
        "PROMETHEUS_ENDPOINT": f"{sink}/{name}/metrics",
        "SPAN_METRICS_INTERVAL": "1s",
        "BATCH_TIMEOUT": "200ms",
        **settings,
    }
    command = [str(binaries / "otelcol"), *configs(GATEWAY_CONFIG, _COUNTING_CONFIG)]
    return Process(name, command, environment, f"http://{health}/", directory)


def _node(binaries: Path, directory: Path, name: str, address: str, gateways: Sequence[str]) -> Process:
    health = free_address()
    settings = {
        "OTLP_HTTP_ENDPOINT": address,
        "OTLP_GRPC_ENDPOINT": free_address(),
        "HEALTH_ENDPOINT": health,
        "GATEWAYS": f"[{', '.join(gateways)}]",
        "BATCH_TIMEOUT": "200ms",
    }
    return Process(name, [str(binaries / "otelcol"), *configs(*NODE_CONFIGS)], settings, f"http://{health}/", directory)
