# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The agent subclass: containers are dict entries, work is a short sleep."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ai.backend.agent.agent import (
    ACTIVE_STATUS_SET,
    AbstractAgent,
    AbstractKernelCreationContext,
)
from ai.backend.agent.resources import KernelResourceSpec, known_slot_types
from ai.backend.agent.types import Container, ContainerStatus
from ai.backend.common.types import ContainerId, ResourceSlot, current_resource_slots

from .compute import Cpu, Memory
from .kernel import StandInKernel
from .standin_app import be_bad_if_asked, start_app

_DEFAULTS = {
    "cpu-cores": 8,
    "mem-bytes": 32 * 2**30,
    # seconds spent at each step
    "pull-delay": 0.2,
    "start-delay": 0.5,
    "destroy-delay": 0.2,
    # make every image "absent" so that the pulling step and its event happen
    "always-pull": False,
}


class StandInCreationContext(AbstractKernelCreationContext):
    agent: StandInAgent

    async def get_extra_envs(self):
        return {}

    async def prepare_resource_spec(self):
        if self.restarting:
            return self.agent.specs[self.kernel_id], None
        current_resource_slots.set(known_slot_types)
        asked = ResourceSlot.from_json(self.kernel_config["resource_slots"])
        spec = KernelResourceSpec(
            container_id="",
            slots=dict(asked.normalize_slots(ignore_unknown=True)),
            allocations={},
            scratch_disk_size=0,
        )
        return spec, self.kernel_config.get("resource_opts") or {}

    async def prepare_scratch(self):
        await be_bad_if_asked(self.kernel_config)

    async def get_intrinsic_mounts(self):
        return []

    async def apply_network(self, cluster_info):
        pass

    async def prepare_ssh(self, cluster_info):
        pass

    async def mount_krunner(self, resource_spec, environ):
        pass

    async def process_mounts(self, mounts):
        pass

    async def apply_accelerator_allocation(self, computer, device_alloc):
        pass

    async def generate_accelerator_mounts(self, computer, device_alloc):
        return []

    def resolve_krunner_filepath(self, filename):
        return Path(filename)

    def get_runner_mount(self, type, src, target, perm="ro", opts=None):
        raise RuntimeError("the stand-in backend mounts nothing")

    async def spawn(self, resource_spec, environ, service_ports):
        cid = secrets.token_hex(32)
        resource_spec.container_id = cid
        self.agent.specs[self.kernel_id] = resource_spec
        kernel = StandInKernel(
            self.kernel_id,
            self.session_id,
            self.agent_id,
            self.image_ref,
            self.kspec_version,
            agent_config=self.local_config,
            resource_spec=resource_spec,
            service_ports=service_ports,
            environ=environ,
            data={"container_id": cid},
        )
        self.agent.containers[self.kernel_id] = Container(
            id=ContainerId(cid),
            status=ContainerStatus.RUNNING,
            image=self.image_ref.canonical,
            labels={
                **self.image_labels,
                "ai.backend.session-id": str(self.session_id),
                "ai.backend.kernel-id": str(self.kernel_id),
            },
            ports=[],
            backend_obj=resource_spec,
        )
        return kernel

    async def start_container(self, kernel_obj, cmdargs, resource_opts, preopen_ports):
        await asyncio.sleep(self.agent.option("start-delay"))
        taken: list[int] = []
        for port in kernel_obj.service_ports:
            ports = [self.agent.port_pool.pop() for _ in port["container_ports"]]
            port["host_ports"] = tuple(ports)
            taken.extend(ports)
            self.agent.apps.setdefault(self.kernel_id, []).extend([await start_app(number) for number in ports])
        repl_in, repl_out = self.agent.port_pool.pop(), self.agent.port_pool.pop()
        container = self.local_config["container"]
        return {
            "container_id": kernel_obj["container_id"],
            "kernel_host": container.get("advertised-host") or container["bind-host"],
            "repl_in_port": repl_in,
            "repl_out_port": repl_out,
            "stdin_port": 0,
            "stdout_port": 0,
            "host_ports": [repl_in, repl_out, *taken],
            "domain_socket_proxies": [],
            "block_service_ports": self.internal_data.get("block_service_ports", False),
        }


class StandInAgent(AbstractAgent[StandInKernel, StandInCreationContext]):
    containers: dict[Any, Container]
    specs: dict[Any, KernelResourceSpec]  # what a restarted kernel gets again
    saved_config: dict[Any, bytes]
    apps: dict[Any, list[asyncio.Server]]  # what listens on the service ports

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.containers = {}
        self.specs = {}
        self.saved_config = {}
        self.apps = {}

    def option(self, name: str) -> Any:
        return self.local_config.get("standin", {}).get(name, _DEFAULTS[name])

    async def load_resources(self):
        plugins = [
            Cpu({"cores": self.option("cpu-cores")}, self.local_config),
            Memory({"bytes": self.option("mem-bytes")}, self.local_config),
        ]
        return {plugin.key: plugin for plugin in plugins}

    async def scan_available_resources(self):
        slots: dict[Any, Any] = {}
        for ctx in self.computers.values():
            known_slot_types.update(ctx.instance.slot_types)
            slots.update(await ctx.instance.available_slots())
        return slots

    async def enumerate_containers(self, status_filter=ACTIVE_STATUS_SET):
        return [(kid, c) for kid, c in self.containers.items() if c.status in status_filter]

    async def scan_images(self) -> Mapping[str, str]:
        return {}

    async def check_image(self, image_ref, image_id, auto_pull) -> bool:
        return bool(self.option("always-pull"))

    async def pull_image(self, image_ref, registry_conf) -> None:
        await asyncio.sleep(self.option("pull-delay"))

    async def init_kernel_context(
        self, kernel_id, session_id, kernel_config, *, restarting=False, cluster_ssh_port_mapping=None
    ):
        ctx = StandInCreationContext(
            kernel_id,
            session_id,
            self.id,
            self.event_producer,
            kernel_config,
            self.local_config,
            self.computers,
            restarting=restarting,
        )
        ctx.agent = self
        return ctx

    async def execute(self, session_id, kernel_id, run_id, mode, text, *, opts, api_version, flush_timeout):
        return await self.kernel_registry[kernel_id].execute(
            run_id, mode, text, opts=opts, api_version=api_version, flush_timeout=flush_timeout
        )

    async def destroy_kernel(self, kernel_id, container_id) -> None:
        await asyncio.sleep(self.option("destroy-delay"))
        if (container := self.containers.get(kernel_id)) is not None:
            container.status = ContainerStatus.EXITED

    async def clean_kernel(self, kernel_id, container_id, restarting) -> None:
        self.containers.pop(kernel_id, None)
        for server in self.apps.pop(kernel_id, []):
            server.close()
        if not restarting:
            self.specs.pop(kernel_id, None)
            for key in [k for k in self.saved_config if k[0] == kernel_id]:
                del self.saved_config[key]

    async def create_local_network(self, network_name: str) -> None:
        pass

    async def destroy_local_network(self, network_name: str) -> None:
        pass

    async def restart_kernel__load_config(self, kernel_id, name: str) -> bytes:
        return self.saved_config[kernel_id, name]

    async def restart_kernel__store_config(self, kernel_id, name: str, data: bytes) -> None:
        self.saved_config[kernel_id, name] = data
