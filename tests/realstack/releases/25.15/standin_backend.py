# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
Fills the gaps of the agent's own "dummy" backend.  up.sh puts this file in the
place of ai/backend/agent/dummy/__init__.py; the rest of the package stays.

The shipped backend creates and destroys kernels by sleeping, which is enough
for a session, but it says "not-implemented" to code execution, reports no
service ports and answers None to start-service, on which the manager fails; it
also reports no containers, so that the agent takes its kernels for lost and
forgets them within a minute.  Here kernels stay, code "runs", and every service
port of a kernel listens (standin_app.py).
"""

from __future__ import annotations

import asyncio
import secrets

from ..agent import ACTIVE_STATUS_SET, AbstractAgent
from ..resources import KernelResourceSpec
from ..types import Container, ContainerStatus
from .agent import DummyAgent
from .kernel import DummyFakeCodeRunner
from .standin_app import be_bad_if_asked, start_app


def _runner_state(self) -> dict:
    return {k: self.__dict__[k] for k in ("kernel_host", "repl_in_port", "repl_out_port")}


# The agent pickles its kernels whenever one starts; the shipped runner fails at
# that (25.15) for want of a field which its base class wants to leave out.
DummyFakeCodeRunner.__getstate__ = _runner_state


class StandInAgent(DummyAgent):
    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.apps: dict[str, list[asyncio.Server]] = {}
        # what a restarted kernel gets again
        self.specs: dict[str, KernelResourceSpec] = {}
        self.saved_config: dict[tuple[str, str], bytes] = {}

    async def init_kernel_context(self, *args, **kwargs):
        ctx = await super().init_kernel_context(*args, **kwargs)
        shipped_start = ctx.start_container

        async def same_spec():
            return self.specs[str(ctx.kernel_id)], None

        async def start_container(kernel_obj, *args, **kwargs):
            self.specs[str(ctx.kernel_id)] = kernel_obj.resource_spec
            info = await shipped_start(kernel_obj, *args, **kwargs)
            return {
                **info,
                "container_id": secrets.token_hex(32),
                # the agent gives these back to the pool when the kernel is cleaned
                "host_ports": await self._open_apps(kernel_obj),
            }

        shipped_scratch = ctx.prepare_scratch

        async def prepare_scratch():
            await be_bad_if_asked(ctx.kernel_config)
            await shipped_scratch()

        ctx.start_container = start_container
        ctx.prepare_scratch = prepare_scratch
        if kwargs.get("restarting"):
            ctx.prepare_resource_spec = same_spec
        return ctx

    async def _open_apps(self, kernel_obj) -> list[int]:
        taken: list[int] = []
        servers = self.apps.setdefault(str(kernel_obj.kernel_id), [])
        for port in kernel_obj.service_ports:
            host_ports = [self.port_pool.pop() for _ in port["container_ports"]]
            port["host_ports"] = tuple(host_ports)
            taken += host_ports
            servers += [await start_app(p) for p in host_ports]
        return taken

    async def enumerate_containers(self, status_filter=ACTIVE_STATUS_SET):
        if ContainerStatus.RUNNING not in status_filter:
            return []
        return [
            (
                kernel_id,
                Container(
                    id=kernel.data.get("container_id", ""),
                    status=ContainerStatus.RUNNING,
                    image=str(kernel.image),
                    labels={
                        "ai.backend.kernel-id": str(kernel_id),
                        "ai.backend.session-id": str(kernel.session_id),
                    },
                    ports=[],
                    backend_obj=None,
                ),
            )
            for kernel_id, kernel in self.kernel_registry.items()
        ]

    async def clean_kernel(self, kernel_id, container_id, restarting) -> None:
        for server in self.apps.pop(str(kernel_id), []):
            server.close()
        if not restarting:
            self.specs.pop(str(kernel_id), None)
            for key in [k for k in self.saved_config if k[0] == str(kernel_id)]:
                del self.saved_config[key]
        await super().clean_kernel(kernel_id, container_id, restarting)

    async def restart_kernel__store_config(self, kernel_id, name, data) -> None:
        self.saved_config[str(kernel_id), name] = data

    async def restart_kernel__load_config(self, kernel_id, name) -> bytes:
        return self.saved_config[str(kernel_id), name]

    def get_public_service_ports(self, service_ports):
        return AbstractAgent.get_public_service_ports(self, service_ports)

    async def start_service(self, kernel_id, service, opts):
        await super().start_service(kernel_id, service, opts)
        return {"status": "started"}

    async def execute(self, session_id, kernel_id, run_id, mode, text, *, opts, api_version, flush_timeout):
        await asyncio.sleep(0.05)
        said = text if mode != "batch" else str((opts or {}).get("exec", ""))
        return {
            "runId": run_id,
            "status": "finished",
            "exitCode": 0,
            "options": None,
            "files": [],
            "console": [["stdout", f"[stand-in kernel] {said}\n"]],
        }


def get_agent_cls() -> type[AbstractAgent]:
    return StandInAgent
