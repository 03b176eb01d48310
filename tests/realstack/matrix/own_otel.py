# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Backend.AI's own ``[otel]`` section beside the plugin: whether it is on, and what two set-ups of one thing leave."""

import json
import re
import socket
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.realstack.stack.settings import Stack

# For ``up.sh``: the section in every configuration, and a receiver at its endpoint.
VARIABLES: Final[Mapping[str, str]] = {"REALSTACK_OTEL": "1", "REALSTACK_SINK": "1"}
# What the SDK and the instrumentors say when something is set up again.
_COMPLAINTS: Final = ("Overriding of current TracerProvider", "already instrumented")
_GRPC_PORT: Final = 12  # from the base, lib.sh
_TIMEOUT: Final = 5.0
_CONFIGURATION: Final = re.compile(r" -f (\S+)")


def otel_problems(
    switched_on: Collection[str],
    components: Iterable[str],
    lines: Mapping[str, Sequence[str]],
    sent: Mapping[str, int] | None,
) -> list[str]:
    """What is wrong with a run that is to be one with the section on.

    Args:
        switched_on: The components whose configuration has it on.
        components: Those that should.
        lines: Of each component's log file.
        sent: How many spans and log records arrived at the section's own endpoint, by service; ``None`` if nobody
            listened there.
    """
    return [
        *(["nobody listens at the section's endpoint"] if sent is None else []),
        *(f"{name}: the section is not on" for name in components if name not in switched_on),
        *(
            f"{name}: its log says: {complaint}"
            for name in lines
            for complaint in _COMPLAINTS
            if any(complaint in line for line in lines[name])
        ),
        *(
            f"{service}: {count} spans and log records went to the section's endpoint"
            for service, count in (sent or {}).items()
        ),
    ]


def switched_on(stack: Stack, components: Iterable[str]) -> list[str]:
    """The components that were started with a configuration in which the section is on."""
    found = []
    for name in components:
        configuration = _CONFIGURATION.search((stack.directory / "run" / f"{name}.command").read_text())
        if configuration and tomllib.loads(Path(configuration[1]).read_text()).get("otel", {}).get("enabled") is True:
            found.append(name)
    return found


def sent(stack: Stack) -> Counter[str] | None:
    """The spans and log records that arrived at the section's endpoint, by service; ``None``: nobody listens."""
    try:
        socket.create_connection(("127.0.0.1", stack.port_base + _GRPC_PORT), timeout=_TIMEOUT).close()
    except OSError:
        return None
    path = _received(stack)
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return Counter(str(row["service"]) for row in rows if row["signal"] in ("span", "log"))


def _received(stack: Stack) -> Path:
    return stack.directory / "otlp.jsonl"
