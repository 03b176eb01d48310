# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""An agent of an older release. Its V2 registry knows a request ID at the top level of the body and nothing else."""

import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from callosum.rpc import RPCMessage

from .rpc import RPCFunctionRegistry, rpc_server
from .serving import serve
from .settings import read_settings

log = logging.getLogger(__name__)


class RPCFunctionRegistryV2(RPCFunctionRegistry):
    """The registry of the older release: it reads `request_id` beside `args` and `kwargs`."""

    def __call__(self, method: Callable[..., Awaitable[Any]]) -> Callable[[Any, RPCMessage], Awaitable[Any]]:
        handle = super().__call__(method)

        @functools.wraps(method)
        async def handle_v2(agent: Any, request: RPCMessage) -> Any:
            request_id = request.body.get("request_id") if isinstance(request.body, dict) else None
            log.info("RPC %s of request %s", method.__name__, request_id or "(unknown)")
            return await handle(agent, request)

        return handle_v2


rpc_function = RPCFunctionRegistryV2()


class LegacyAgent:
    """Answers what the manager asks every agent."""

    @rpc_function
    async def ping(self, message: str) -> str:
        return message

    @rpc_function
    async def prepare_image(self, image: str) -> bool:
        """Tells whether `image` is ready to be used in a cluster with kernels of other agents."""
        log.info("image %s is ready", image)
        return True


@asynccontextmanager
async def open_worker(worker_index: int) -> AsyncIterator[str]:
    settings = read_settings()
    async with rpc_server(settings.legacy_agent_addr, LegacyAgent(), rpc_function.functions):
        yield settings.legacy_agent_addr


if __name__ == "__main__":
    serve("legacy-agent", open_worker)
