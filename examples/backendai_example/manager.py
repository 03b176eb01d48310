# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The manager: the HTTP API, the event dispatcher and the background work of the cluster."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from aiohttp import web

from .agent_client import agent_pool
from .background import background_timers
from .event_handlers import SessionEventHandlers
from .event_hub import EventHub
from .manager_context import ManagerContext
from .manager_events import EventDispatcher, ManagerEventProducer
from .manager_folders import FolderHandlers
from .manager_middlewares import middlewares
from .manager_services import ServiceHandlers
from .manager_sessions import SessionHandlers
from .manager_streams import StreamHandlers
from .redis_connection import connected_redis
from .serving import listening, serve
from .session_table import SessionTable
from .settings import Settings, read_settings


def root_app(manager: ManagerContext) -> web.Application:
    """The manager's application with all its sub-applications."""
    app = web.Application(middlewares=middlewares(manager.settings))
    app.router.add_get("/health", _health)
    streams = StreamHandlers(manager)
    app.add_subapp("/sessions", SessionHandlers(manager).app())
    app.add_subapp("/folders", FolderHandlers(manager).app())
    app.add_subapp("/services", ServiceHandlers(manager).app())
    app.add_subapp("/events", streams.events_app())
    app.add_subapp("/stream", streams.stream_app())
    return app


async def _health(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


@asynccontextmanager
async def _manager_context(settings: Settings, worker_index: int) -> AsyncIterator[ManagerContext]:
    """The connections of one worker, and its event dispatcher."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connected_redis(settings.redis_url))
        agents = await stack.enter_async_context(
            agent_pool({"agent": settings.agent_addr, "legacy-agent": settings.legacy_agent_addr})
        )
        manager = ManagerContext(
            settings=settings,
            http=await stack.enter_async_context(aiohttp.ClientSession()),
            agent=agents["agent"],
            legacy_agent=agents["legacy-agent"],
            sessions=SessionTable(redis),
            events=ManagerEventProducer(redis),
            hub=EventHub(),
        )
        handlers = SessionEventHandlers(manager)
        dispatcher = EventDispatcher(redis, f"manager-{worker_index}")
        dispatcher.consume("kernel_started", handlers.kernel_started)
        dispatcher.consume("kernel_registry_synced", handlers.kernel_registry_synced)
        dispatcher.subscribe("session_started", handlers.session_started)
        await stack.enter_async_context(dispatcher)
        yield manager


@asynccontextmanager
async def open_worker(worker_index: int) -> AsyncIterator[str]:
    settings = read_settings()
    async with (
        _manager_context(settings, worker_index) as manager,
        listening(root_app(manager), settings.manager_port, reuse_port=True) as url,
        AsyncExitStack() as timers,
    ):
        if worker_index == 0:
            await timers.enter_async_context(background_timers(manager))
        yield url


if __name__ == "__main__":
    serve("manager", open_worker, num_workers=read_settings().manager_workers)
