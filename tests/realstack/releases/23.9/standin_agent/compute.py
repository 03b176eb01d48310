# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""CPU and memory as plain numbers taken from agent.toml, no hardware probing."""

from __future__ import annotations

from decimal import Decimal

from ai.backend.agent import __version__
from ai.backend.agent.alloc_map import AllocationStrategy, DeviceSlotInfo, DiscretePropertyAllocMap
from ai.backend.agent.resources import AbstractComputeDevice, AbstractComputePlugin
from ai.backend.common.types import DeviceId, DeviceName, SlotName, SlotTypes


class _Device(AbstractComputeDevice):
    pass


class _Counted(AbstractComputePlugin):
    """One kind of countable thing with a fixed list of units."""

    config_watch_enabled = False
    exclusive_slot_types: set[str] = set()
    kind: SlotTypes
    strategy = AllocationStrategy.EVENLY
    label = ""
    unit = ""
    is_bytes = False

    def units(self) -> list[tuple[str, int]]:
        """(device id, amount) pairs"""
        raise NotImplementedError

    async def init(self, context=None):
        pass

    async def cleanup(self):
        pass

    async def update_plugin_config(self, plugin_config):
        self.plugin_config = plugin_config

    def get_metadata(self):
        return {
            "slot_name": str(self.key),
            "description": f"{self.label} (stand-in)",
            "human_readable_name": self.label,
            "display_unit": self.unit,
            "number_format": {"binary": self.is_bytes, "round_length": 0},
            "display_icon": "cpu",
        }

    def get_version(self):
        return __version__

    async def extra_info(self):
        return {"standin": "true"}

    async def list_devices(self):
        return [
            _Device(
                device_id=DeviceId(name),
                device_name=self.key,
                hw_location="standin",
                numa_node=0,
                memory_size=amount if self.is_bytes else 0,
                processing_units=0 if self.is_bytes else amount,
            )
            for name, amount in self.units()
        ]

    async def available_slots(self):
        return {SlotName(self.key): Decimal(sum(amount for _, amount in self.units()))}

    async def create_alloc_map(self):
        return DiscretePropertyAllocMap(
            allocation_strategy=self.strategy,
            device_slots={
                DeviceId(name): DeviceSlotInfo(self.kind, SlotName(self.key), Decimal(amount))
                for name, amount in self.units()
            },
        )

    async def restore_from_container(self, container, alloc_map):
        granted = container.backend_obj.allocations.get(self.key)
        if granted:
            alloc_map.apply_allocation(granted)

    async def get_attached_devices(self, device_alloc):
        ids = {dev for per_slot in device_alloc.values() for dev in per_slot}
        return [{"device_id": name, "model_name": "stand-in", "data": {}} for name, _ in self.units() if name in ids]

    async def gather_node_measures(self, ctx):
        return []

    async def gather_container_measures(self, ctx, container_ids):
        return []

    async def gather_process_measures(self, ctx, pid_map):
        return []

    async def get_hooks(self, distro, arch):
        return []

    async def generate_docker_args(self, docker, device_alloc):
        return {}

    async def get_docker_networks(self, device_alloc):
        return []

    async def generate_mounts(self, source_path, device_alloc):
        return []


class Cpu(_Counted):
    key = DeviceName("cpu")
    slot_types = [(SlotName("cpu"), SlotTypes.COUNT)]
    kind = SlotTypes.COUNT
    label, unit = "CPU", "Core"

    def units(self):
        return [(str(n), 1) for n in range(int(self.plugin_config["cores"]))]


class Memory(_Counted):
    key = DeviceName("mem")
    slot_types = [(SlotName("mem"), SlotTypes.BYTES)]
    kind = SlotTypes.BYTES
    strategy = AllocationStrategy.FILL
    label, unit, is_bytes = "RAM", "GiB", True

    def units(self):
        return [("root", int(self.plugin_config["bytes"]))]
