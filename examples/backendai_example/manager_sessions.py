# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""`/sessions`: compute sessions."""

import logging
import uuid

from aiohttp import web

from .manager_context import ManagerContext
from .request_body import read_json_object
from .session_table import Session, SessionStatus

log = logging.getLogger(__name__)

DEFAULT_IMAGE = "python:3.13-ubuntu"


class SessionHandlers:
    """Creates sessions and tells their status."""

    def __init__(self, manager: ManagerContext) -> None:
        self._manager = manager

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("", self._create)
        app.router.add_get("/{session_id}", self._status)
        return app

    async def _create(self, request: web.Request) -> web.Response:
        """Create a session. It is RUNNING when its circuit is there, after this answer."""
        image = str((await read_json_object(request)).get("image", DEFAULT_IMAGE))
        session = Session(str(uuid.uuid4()), str(uuid.uuid4()), SessionStatus.PREPARING)
        log.info("creating session %s", session.session_id)
        await self._manager.sessions.add(session)
        try:
            await self._manager.legacy_agent.call.prepare_image(image)
            await self._manager.agent.call.create_kernel(
                kernel_id=session.kernel_id, session_id=session.session_id, image=image
            )
        except Exception:
            log.warning("session %s failed", session.session_id)
            await self._manager.sessions.set_status(session.session_id, SessionStatus.ERROR)
            raise
        return web.json_response({"session_id": session.session_id, "status": session.status}, status=201)

    async def _status(self, request: web.Request) -> web.Response:
        session = await self._manager.sessions.get(request.match_info["session_id"])
        if session is None:
            raise web.HTTPNotFound(text="no such session")
        return web.json_response({"session_id": session.session_id, "status": session.status})
