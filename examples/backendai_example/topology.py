# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the cluster consists of and which hops each flow takes, for whoever starts it or checks what it did."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

# Every setting that holds an address, with the text in which the port goes.
ADDRESS_SETTINGS: Final[Mapping[str, str]] = {
    "EXAMPLE_REDIS_URL": "redis://127.0.0.1:{port}",
    "EXAMPLE_MANAGER_PORT": "{port}",
    "EXAMPLE_AGENT_ADDR": "tcp://127.0.0.1:{port}",
    "EXAMPLE_LEGACY_AGENT_ADDR": "tcp://127.0.0.1:{port}",
    "EXAMPLE_STORAGE_PORT": "{port}",
    "EXAMPLE_STORAGE_CLIENT_PORT": "{port}",
    "EXAMPLE_APPROXY_PORT": "{port}",
    "EXAMPLE_WSPROXY_PORT": "{port}",
}
# Read by the components beside the addresses.
OTHER_SETTINGS: Final = (
    "EXAMPLE_MANAGER_WORKERS",
    "EXAMPLE_TIMER_INTERVAL",
    "EXAMPLE_LOG_LEVEL",
    "EXAMPLE_LOG_FORMAT",
)

REDIS_MODULE: Final = "backendai_example.redis_server"
CLIENT_MODULE: Final = "backendai_example.client"


class HopKind(StrEnum):
    """How one component reaches another."""

    HTTP = "HTTP"
    RPC = "RPC"
    EVENT = "event"
    WEBSOCKET = "WebSocket"


@dataclass(frozen=True, slots=True)
class Component:
    """A component that runs until it is stopped.

    Attributes:
        name: its name in log lines and in `Hop`.
        module: what `python -m` runs.
        listens_on: the settings that hold the addresses it listens on.
        needs: the settings that hold the addresses it connects to.
        health_path: the path that answers 200 on each address when it is ready; `None` where accepting a TCP
            connection is the sign.
    """

    name: str
    module: str
    listens_on: tuple[str, ...]
    needs: tuple[str, ...] = ()
    health_path: str | None = None

    @property
    def command(self) -> tuple[str, ...]:
        """The command that runs it under the current interpreter."""
        return (sys.executable, "-m", self.module)

    def endpoints(self, environment: Mapping[str, str]) -> list[tuple[str, int]]:
        """Host and port of each address it listens on. Raises `KeyError` when a setting is missing."""
        return [_endpoint(environment[setting]) for setting in self.listens_on]


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a flow: what `child` does is caused by `parent`."""

    parent: str
    child: str
    kind: HopKind


@dataclass(frozen=True, slots=True)
class Flow:
    """What happens from one cause.

    Attributes:
        title: what a reader calls it.
        client_arguments: the arguments of the client that begin it; `None` where a timer of the manager does.
        hops: every hop that it takes, in the order of time.
    """

    title: str
    client_arguments: tuple[str, ...] | None
    hops: tuple[Hop, ...]


# In the order in which they may be started: each after those it connects to, apart from the manager's timers.
COMPONENTS: Final = (
    Component("wsproxy", "backendai_example.wsproxy", ("EXAMPLE_WSPROXY_PORT",), health_path="/health"),
    Component(
        "app-proxy",
        "backendai_example.app_proxy",
        ("EXAMPLE_APPROXY_PORT",),
        ("EXAMPLE_WSPROXY_PORT",),
        health_path="/health",
    ),
    Component(
        "storage-proxy",
        "backendai_example.storage_proxy",
        ("EXAMPLE_STORAGE_PORT", "EXAMPLE_STORAGE_CLIENT_PORT"),
        health_path="/health",
    ),
    Component("agent", "backendai_example.agent", ("EXAMPLE_AGENT_ADDR",), ("EXAMPLE_REDIS_URL",)),
    Component("legacy-agent", "backendai_example.legacy_agent", ("EXAMPLE_LEGACY_AGENT_ADDR",)),
    Component(
        "manager",
        "backendai_example.manager",
        ("EXAMPLE_MANAGER_PORT",),
        (
            "EXAMPLE_REDIS_URL",
            "EXAMPLE_AGENT_ADDR",
            "EXAMPLE_LEGACY_AGENT_ADDR",
            "EXAMPLE_STORAGE_PORT",
            "EXAMPLE_APPROXY_PORT",
            "EXAMPLE_WSPROXY_PORT",
        ),
        health_path="/health",
    ),
)

FLOWS: Final[Mapping[str, Flow]] = {
    "session": Flow(
        "session creation",
        ("session",),
        (
            Hop("client", "manager", HopKind.HTTP),
            Hop("manager", "legacy-agent", HopKind.RPC),
            Hop("manager", "agent", HopKind.RPC),
            Hop("agent", "manager", HopKind.EVENT),
            Hop("manager", "app-proxy", HopKind.HTTP),
            Hop("app-proxy", "wsproxy", HopKind.WEBSOCKET),
            Hop("manager", "manager", HopKind.EVENT),
        ),
    ),
    "upload": Flow(
        "vfolder upload",
        ("upload",),
        (
            Hop("client", "manager", HopKind.HTTP),
            Hop("manager", "storage-proxy", HopKind.HTTP),
            Hop("client", "storage-proxy", HopKind.HTTP),
        ),
    ),
    "background": Flow(
        "background work",
        None,
        (
            Hop("manager", "agent", HopKind.RPC),
            Hop("manager", "manager", HopKind.EVENT),
        ),
    ),
}


def client_command(flow: Flow, request_id: str | None = None) -> tuple[str, ...]:
    """The command that begins `flow`. Raises `ValueError` for a flow that no client begins."""
    if flow.client_arguments is None:
        raise ValueError(f"no client begins: {flow.title}")
    sent = () if request_id is None else ("--request-id", request_id)
    return (sys.executable, "-m", CLIENT_MODULE, *flow.client_arguments, *sent)


def http_peers(environment: Mapping[str, str]) -> list[str]:
    """`host:port` of every HTTP address of the cluster."""
    return [
        f"{host}:{port}"
        for component in COMPONENTS
        if component.health_path is not None
        for host, port in component.endpoints(environment)
    ]


def _endpoint(address: str) -> tuple[str, int]:
    if address.isdigit():
        return "127.0.0.1", int(address)
    parts = urlsplit(address)
    return parts.hostname or "127.0.0.1", parts.port or 0
