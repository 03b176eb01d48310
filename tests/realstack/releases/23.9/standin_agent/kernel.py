# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The kernel object handed to the agent: answers from memory, runs nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from ai.backend.agent.kernel import AbstractKernel
from ai.backend.common.events import ModelServiceStatusEvent
from ai.backend.common.types import CommitStatus, ModelServiceStatus


async def prepare_krunner_env(local_config) -> dict[str, Any]:
    # No container, hence no kernel-runner volume to prepare.
    return {}


class _NullRunner:
    """Stands where the ZeroMQ link into a container would be."""

    event_producer: Any = None

    async def __ainit__(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def ping(self) -> dict[str, float]:
        return {"rtt": 0.0}

    async def attach_output_queue(self, run_id: str | None) -> None:
        pass

    def __getstate__(self):
        # The agent pickles its kernels to survive a restart and gives them a
        # new event producer afterwards.
        return {}


class StandInKernel(AbstractKernel):
    async def create_code_runner(self, event_producer, *, client_features, api_version):
        runner = _NullRunner()
        runner.event_producer = event_producer
        return runner

    async def close(self) -> None:
        pass

    async def check_status(self):
        return {}

    async def get_service_apps(self):
        return {"status": "done", "data": []}

    async def execute(self, run_id, mode, text, *, opts, api_version, flush_timeout):
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

    async def get_completions(self, text, opts):
        return {"status": "finished", "completions": []}

    async def get_logs(self):
        return {"logs": f"[stand-in kernel] no log of {self.kernel_id}\n"}

    async def interrupt_kernel(self):
        return {"status": "finished"}

    async def start_service(self, service, opts):
        await asyncio.sleep(0.05)
        return {"status": "started"}

    async def start_model_service(self, model_service):
        # What the kernel runner reports by itself as soon as the model answers: only then is it ended like others.
        await asyncio.sleep(1)
        await self.runner.event_producer.produce_event(
            ModelServiceStatusEvent(self.kernel_id, self.session_id, model_service["name"], ModelServiceStatus.HEALTHY)
        )
        return {"status": "started"}

    async def shutdown_service(self, service):
        return None

    async def check_duplicate_commit(self, kernel_id, subdir):
        return CommitStatus.READY

    async def commit(self, kernel_id, subdir, filename):
        return None

    async def accept_file(self, filename, filedata):
        return None

    async def download_file(self, filepath):
        return b""

    async def download_single(self, filepath):
        return b""

    async def list_files(self, path: str):
        return {"files": "[]", "errors": "", "abspath": path}

    async def notify_event(self, evdata):
        return None
