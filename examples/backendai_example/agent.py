# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The agent: starts kernels when the manager asks, and reports by events."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from .background_tasks import BackgroundTasks
from .event_stream import send_event
from .redis_connection import connected_redis
from .rpc import RPCFunctionRegistry, rpc_server
from .serving import serve
from .settings import read_settings

log = logging.getLogger(__name__)

AGENT_ID = "i-agent"
MAX_KERNELS = 20_000
CONTAINER_START_DELAY = 0.02

rpc_function = RPCFunctionRegistry()


class Agent:
    """Keeps the registry of its kernels."""

    def __init__(self, redis: Redis, tasks: BackgroundTasks) -> None:
        self._redis = redis
        self._tasks = tasks
        self._kernels: OrderedDict[str, str] = OrderedDict()

    @rpc_function
    async def ping(self, message: str) -> str:
        return message

    @rpc_function
    async def create_kernel(self, kernel_id: str, session_id: str, *, image: str) -> dict[str, str]:
        """Register a kernel; its container starts in the background, and `kernel_started` tells when it runs."""
        log.info("creating kernel %s of session %s from %s", kernel_id, session_id, image)
        self._kernels[kernel_id] = session_id
        while len(self._kernels) > MAX_KERNELS:
            self._kernels.popitem(last=False)
        self._tasks.start(self._start_container(kernel_id, session_id))
        return {"kernel_id": kernel_id, "agent_id": AGENT_ID}

    @rpc_function
    async def destroy_kernel(self, kernel_id: str) -> bool:
        """Forget a kernel; tells whether there was one."""
        log.info("destroying kernel %s", kernel_id)
        return self._kernels.pop(kernel_id, None) is not None

    @rpc_function
    async def sync_kernel_registry(self) -> int:
        """How many kernels the agent has."""
        log.info("syncing the registry of %d kernels", len(self._kernels))
        return len(self._kernels)

    async def _start_container(self, kernel_id: str, session_id: str) -> None:
        await asyncio.sleep(CONTAINER_START_DELAY)
        log.info("kernel %s runs", kernel_id)
        await send_event(self._redis, "kernel_started", (kernel_id, session_id), source=AGENT_ID)


@asynccontextmanager
async def open_worker(worker_index: int) -> AsyncIterator[str]:
    settings = read_settings()
    async with (
        connected_redis(settings.redis_url) as redis,
        BackgroundTasks() as tasks,
        rpc_server(settings.agent_addr, Agent(redis, tasks), rpc_function.functions),
    ):
        yield settings.agent_addr


if __name__ == "__main__":
    serve("agent", open_worker)
