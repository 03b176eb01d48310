# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
What the agent's own container-less backend ("dummy", part of the released wheel)
leaves out and a test of the paths above it needs: code execution that answers,
services that listen (standin_app.py, in the agent process), and a creation that
fails when it is asked to.

up.sh installs this beside the backend and makes the backend use StandInAgent.
Nothing else of the agent is touched.
"""

from __future__ import annotations

import asyncio

from ai.backend.agent.agent import AbstractAgent
from ai.backend.agent.types import Container
from ai.backend.common.docker import LabelName
from ai.backend.common.types import ContainerStatus

from . import agent as dummy
from .kernel import DummyKernel
from .standin_app import be_bad_if_asked, start_app


class StandInKernel(DummyKernel):
    async def start_service(self, service, opts):
        await super().start_service(service, opts)
        return {"status": "started"}


class StandInContext(dummy.DummyKernelCreationContext):
    async def prepare_scratch(self):
        await be_bad_if_asked(self.kernel_config)
        await super().prepare_scratch()

    async def start_container(self, kernel_obj, *args, **kwargs):
        result = await super().start_container(kernel_obj, *args, **kwargs)
        servers = StandInAgent.servers.setdefault(self.kernel_id, [])
        for port in kernel_obj.service_ports:
            opened = [await start_app() for _ in port["container_ports"]]
            port["host_ports"] = tuple(s.sockets[0].getsockname()[1] for s in opened)
            servers.extend(opened)
        return result


class StandInAgent(dummy.DummyAgent):
    servers: dict = {}

    async def execute(self, session_id, kernel_id, run_id, mode, text, *, opts, api_version, flush_timeout):
        await asyncio.sleep(0.05)
        return {
            "runId": run_id,
            "status": "finished",
            "exitCode": 0,
            "options": None,
            "files": [],
            "console": [["stdout", f"[stand-in kernel] {text}\n"]],
        }

    async def enumerate_containers(self, status_filter=dummy.ACTIVE_STATUS_SET):
        # the dummy's empty answer makes the agent drop each kernel within a minute
        if ContainerStatus.RUNNING not in status_filter:
            return []
        return [
            (
                kernel_id,
                Container(
                    id=kernel.container_id or "",
                    status=ContainerStatus.RUNNING,
                    image=str(kernel.image),
                    labels={
                        LabelName.KERNEL_ID: str(kernel_id),
                        LabelName.SESSION_ID: str(kernel.session_id),
                    },
                    ports=[],
                    backend_obj=None,
                ),
            )
            for kernel_id, kernel in self.kernel_registry.items()
        ]

    def get_public_service_ports(self, service_ports):
        return AbstractAgent.get_public_service_ports(self, service_ports)

    async def destroy_kernel(self, kernel_id, container_id):
        await super().destroy_kernel(kernel_id, container_id)
        for server in self.servers.pop(kernel_id, []):
            server.close()


# looked up by name in that module whenever a kernel is made
dummy.DummyKernel = StandInKernel
dummy.DummyKernelCreationContext = StandInContext
