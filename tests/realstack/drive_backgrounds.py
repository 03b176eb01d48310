#!/usr/bin/env python
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
Requests that leave work behind, each in a span and under a request ID of its own, in the
environment of a stack that runs; how far the work is, is asked for under other IDs.

    opentelemetry-instrument python drive_backgrounds.py --report FILE [--service]

FILE gets [{title, request_id, error}], as JSON: of a folder that is cloned and one that is deleted
for ever, of a scan of a registry that does not exist, which fails, and if asked for of a
model service that is made, and of its end, which is awaited.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from ai.backend.client.output.fields import session_fields
from opentelemetry import trace
from smoke import release  # type: ignore[import-not-found]  # beside it, where it is run

from otel_backendai.api import bind_request_id

_LIMIT = 60.0
# From 26.4 on a replica goes through timers of up to 30 s before it has a session.
_SERVICE_LIMIT = 180.0
_FIELDS = [session_fields[name] for name in ("name", "status")]
_OVER = {"CANCELLED", "TERMINATED"}
_ENDS = {"RUNNING", "ERROR", *_OVER}
# 23.09 takes an endpoint off the app-proxy in a timer's run after its last replica has ended.
_DEREGISTERED = 15.0
# Of a service that a controller can start; nobody looks at what it serves.
_DEFINITION = """
models:
- name: nothing
  model_path: /models
  service:
    start_command: ["true"]
    port: 8000
"""
_READY = "ready"
_GONE = {None, "delete-complete", "deleted-complete"}


@asynccontextmanager
async def _named(title: str, made: list[dict[str, str]]) -> AsyncIterator[None]:
    with bind_request_id() as request, trace.get_tracer("realstack").start_as_current_span(title):
        made.append({"title": title, "request_id": request, "error": ""})
        try:
            yield
        except Exception as error:
            made[-1]["error"] = f"{type(error).__name__}: {error}"
            raise


async def _status(api: release.AsyncSession, name: str) -> str | None:
    found = [folder for folder in await api.VFolder.list() if folder["name"] == name]
    return str(found[0].get("status") or _READY).lower() if found else None


async def _until(wanted: Callable[[], Awaitable[bool]], limit: float = _LIMIT) -> None:
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        with bind_request_id():
            if await wanted():
                return
        await asyncio.sleep(0.5)
    raise TimeoutError


async def _delete(api: release.AsyncSession, name: str, identifier: str, made: list[dict[str, str]]) -> None:
    folder = api.VFolder(name)
    for_ever = getattr(folder, "delete_trash", folder.delete)
    if for_ever != folder.delete:
        folder.id = uuid.UUID(identifier)
        with bind_request_id():
            await folder.delete()
    async with _named("delete", made):
        await for_ever()


def _definition(directory: str) -> Path:
    path = Path(directory, "model-definition.yml")
    path.write_text(_DEFINITION)
    return path


async def _serve(api: release.AsyncSession, made: list[dict[str, str]]) -> None:
    name = f"model-{uuid.uuid4().hex[:8]}"
    with bind_request_id(), tempfile.TemporaryDirectory() as directory:
        await api.VFolder.create(name, usage_mode="model")
        await api.VFolder(name).upload([_definition(directory)], basedir=directory, show_progress=False)
    async with _named("service", made):
        service = await api.Service.create(
            release.IMAGE,
            name,
            1,
            service_name=name,
            resources={"cpu": 1, "mem": "256m"},
            resource_opts={},
            domain_name="default",
            group_name="default",
            scaling_group="default",
            model_mount_destination="/models",
        )

    async def statuses() -> list[str]:
        listed = await api.ComputeSession.paginated_list(fields=_FIELDS, page_size=100)
        # The session of a replica is called after the service.
        return [str(one["status"]) for one in listed.items if str(one["name"]).startswith(name)]

    async def has_session() -> bool:
        return any(status in _ENDS for status in await statuses())

    async def has_none() -> bool:
        return all(status in _OVER for status in await statuses())

    await _until(has_session, _SERVICE_LIMIT)
    async with _named("service end", made):
        await api.Service(service["endpoint_id"]).delete()
    await _until(has_none, _SERVICE_LIMIT)
    await asyncio.sleep(_DEREGISTERED)


async def _folder(api: release.AsyncSession, made: list[dict[str, str]]) -> None:
    name = f"later-{uuid.uuid4().hex[:8]}"
    with bind_request_id():
        created = await api.VFolder.create(name, usage_mode="general", cloneable=True)
    async with _named("clone", made):
        # 23.09 has no default for the host, whatever it says.
        await api.VFolder(name).clone(f"{name}-2", target_host=created["host"])

    async def is_cloned() -> bool:
        return await _status(api, name) == await _status(api, f"{name}-2") == _READY

    async def is_gone() -> bool:
        return await _status(api, name) in _GONE

    await _until(is_cloned)
    await _delete(api, name, created["id"], made)
    await _until(is_gone)


async def _rescan(api: release.AsyncSession, made: list[dict[str, str]]) -> None:
    async with _named("rescan", made):
        await api.Image.rescan_images("cr.standin.local")


async def _drive(made: list[dict[str, str]], with_service: bool) -> None:
    parts = [_folder, _rescan, *([_serve] if with_service else [])]
    async with release.AsyncSession() as api:
        for part in parts:
            try:
                await part(api, made)
            except Exception:
                # One that fails is missing or red; the others are made nevertheless.
                traceback.print_exc()


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--report", type=Path, required=True)
    options.add_argument("--service", action="store_true")
    parsed = options.parse_args()
    requests: list[dict[str, str]] = []
    try:
        asyncio.run(_drive(requests, parsed.service))
    finally:
        parsed.report.write_text(json.dumps(requests))
