# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Where the components of the example cluster listen, and the environment that each of them runs in."""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping

from backendai_example.topology import ADDRESS_SETTINGS, http_peers
from otel_backendai.names import SETTING_COMPONENT, SETTING_PEERS

# What a user's shell may hold and must not reach the cluster: settings of OpenTelemetry and of the example, and
# proxies, which would get what is meant for loopback.
_FOREIGN_PREFIXES = ("OTEL_", "EXAMPLE_")
_FOREIGN_SUFFIX = "_proxy"


def free_addresses() -> dict[str, str]:
    """Every address setting of the example with a loopback port that is free now."""
    with contextlib.ExitStack() as held:
        ports = [held.enter_context(_bound_socket()) for _ in ADDRESS_SETTINGS]
        return {
            setting: pattern.format(port=port.getsockname()[1])
            for (setting, pattern), port in zip(ADDRESS_SETTINGS.items(), ports, strict=True)
        }


@contextlib.contextmanager
def _bound_socket() -> Iterator[socket.socket]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


def inherited_environment() -> dict[str, str]:
    """The environment of this process without what must not reach the cluster."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN_PREFIXES) and not name.lower().endswith(_FOREIGN_SUFFIX)
    }


def component_environment(component: str, addresses: Mapping[str, str], receiver_url: str) -> dict[str, str]:
    """The environment in which ``component`` exports to ``receiver_url`` under ``opentelemetry-instrument``."""
    return {
        **inherited_environment(),
        **addresses,
        "OTEL_SERVICE_NAME": component,
        SETTING_COMPONENT: component,
        SETTING_PEERS: ",".join(http_peers(addresses)),
        # By name, so that no other configurator or distro of this environment wins.
        "OTEL_PYTHON_CONFIGURATOR": "backendai",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver_url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
        # Somebody waits for these spans.
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_BLRP_SCHEDULE_DELAY": "200",
    }
