# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""`/services`: the agents of the cluster."""

import asyncio

from aiohttp import web

from .manager_context import ManagerContext

PING_TIMEOUT = 2.0


class ServiceHandlers:
    """Tells which agents answer."""

    def __init__(self, manager: ManagerContext) -> None:
        self._manager = manager

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/agents", self._agents)
        return app

    async def _agents(self, request: web.Request) -> web.Response:
        agents = {"agent": self._manager.agent, "legacy-agent": self._manager.legacy_agent}
        answers = {}
        for name, agent in agents.items():
            try:
                async with asyncio.timeout(PING_TIMEOUT):
                    answers[name] = await agent.call.ping("hello") == "hello"
            except TimeoutError:
                answers[name] = False
        return web.json_response(answers)
