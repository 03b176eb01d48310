# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A component that the release's own ``backend.ai`` command loads, as far as its server's module and its event queue.

``python -m tests.releases.apps.command REDIS-PORT mgr start-server`` says, as JSON, what of the plugin is there.
"""

import asyncio
import contextlib
import importlib
import importlib.metadata
import io
import json
import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from tests.releases import bus

SERVERS = {
    "mgr": "ai.backend.manager.server",
    "ag": "ai.backend.agent.server",
    "storage": "ai.backend.storage.server",
}


def load(arguments: list[str]) -> None:
    """Run ``backend.ai ARGUMENTS --help``: what the command imports before it calls the server, in that order."""
    sys.argv = ["backend.ai", *arguments, "--help"]
    (command,) = (
        found
        for found in importlib.metadata.entry_points(group="console_scripts", name="backend.ai")
        if found.value.startswith("ai.backend.cli")
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        command.load()()
    importlib.import_module(SERVERS[arguments[0]])


def held() -> Iterator[str]:
    """Functions that we replaced, and that a module of the release has under a name of its own as they were."""
    from otel_backendai import instrumentors
    from otel_backendai.releases import own_tracing
    from otel_backendai.sdk import processes

    hops = [kind().hop for kind in instrumentors.BY_NAME.values()]
    applied = [one for hop in (*hops, processes.HOP, own_tracing.HOP) for one in hop._applied]
    # What is replaced where it is used only (`check_params` in one module) stays as it was where it is defined.
    originals = {
        id(one.original): one
        for one in applied
        if isinstance(one.original, FunctionType) and vars(one.owner).get("__name__") == one.original.__module__
    }
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("ai."):
            for name, value in list(vars(module).items()):
                found = originals.get(id(value))
                if found is not None:
                    yield f"{module_name}:{name}"


async def connect(port: int) -> None:
    """Connect to Redis by the release's producer and dispatcher of events."""
    async with bus.open_bus(port):
        pass


def main() -> None:
    """Load, connect, tell."""
    port, *arguments = sys.argv[1:]
    load(arguments)
    from otel_backendai.hops import deferred

    found: dict[str, Any] = {"active": deferred.HOP.active, "held": sorted(held())}
    found["before"] = deferred.sessions.store is not None
    asyncio.run(connect(int(port)))
    found["after"] = deferred.sessions.store is not None
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
