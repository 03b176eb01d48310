# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the manager does when an event arrives."""

import logging

from .app_proxy_client import call_app_proxy
from .event_stream import EventArgs
from .manager_context import ManagerContext
from .session_table import SessionStatus

log = logging.getLogger(__name__)


class SessionEventHandlers:
    """Moves a session on when its kernel runs, and tells the clients."""

    def __init__(self, manager: ManagerContext) -> None:
        self._manager = manager

    async def kernel_started(self, args: EventArgs) -> None:
        """Make the circuit to a session whose kernel has started."""
        kernel_id, session_id = args
        settings = self._manager.settings
        try:
            circuit = await call_app_proxy(
                self._manager.http,
                settings.approxy_url,
                "v2/circuits",
                {"session_id": session_id, "kernel_id": kernel_id},
                token=settings.approxy_token,
            )
        except Exception:
            await self._manager.sessions.set_status(session_id, SessionStatus.ERROR)
            raise
        await self._manager.sessions.set_status(session_id, SessionStatus.RUNNING)
        log.info("session %s runs behind circuit %s", session_id, circuit["circuit_id"])
        await self._manager.events.produce("session_started", (session_id,))

    async def session_started(self, args: EventArgs) -> None:
        """Tell the clients that listen to this worker."""
        self._manager.hub.publish(f"session_started {' '.join(args)}")

    async def kernel_registry_synced(self, args: EventArgs) -> None:
        """Note how many kernels the agent has."""
        log.info("the agent has %s kernels", args[0])
