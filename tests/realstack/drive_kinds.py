#!/usr/bin/env python
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
One session of each kind, one after the other, in the environment of a stack that runs;
statuses are asked for, and templates made, under other request IDs.

    opentelemetry-instrument python drive_kinds.py --report FILE KIND...

batch      a batch job, which ends by itself
template   from a session template
cluster    from a cluster template, by create-cluster
restart    restarted once it runs

FILE gets a list of what drive_sessions.py tells, as JSON, each with its kind; with
"restarted", the request ID of a restart; with "refused", what the API said if it said no,
with "answered", what it said although it made the session, or "failed", what did not come.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ai.backend.client.exceptions import BackendAPIError
from drive_sessions import INTERVAL, names_of, until  # type: ignore[import-not-found]  # beside it
from opentelemetry import trace
from smoke import release  # type: ignore[import-not-found]  # beside it, where it is run

from otel_backendai.api import bind_request_id

_OPTIONS = {"enqueue_only": True, "group_name": "default", "domain_name": "default"}
_RESOURCES = {"cpu": 1, "mem": "256m"}
_KERNEL = {"image": release.IMAGE, "architecture": platform.machine(), "environ": {}, "run": None, "git": None}
_tracer = trace.get_tracer("realstack")

Create = Callable[[], Awaitable[str]]


async def _post(path: str, body: dict[str, Any]) -> Any:
    request = release.Request("POST", path)
    request.set_json(body)
    async with request.fetch() as response:
        return await response.json()


async def _template(kind: str, spec: dict[str, Any]) -> str:
    """The ID of a new template; ``kind`` is session or cluster."""
    made = {
        "apiVersion": "6",
        "kind": "clusterTemplate" if kind == "cluster" else "taskTemplate",
        "mode": "single-node",
        "metadata": {"name": f"kinds-{uuid.uuid4().hex[:8]}"},
        "spec": spec,
    }
    # Of the former there may be several in one.
    payload = json.dumps(made if kind == "cluster" else [{"template": made}])
    body = {"payload": payload, "group_name": "default", "domain_name": "default"}
    with bind_request_id():
        answer = await _post(f"/template/{kind}", body)
    return str((answer[0] if isinstance(answer, list) else answer)["id"])


async def _session_template() -> str:
    spec = {"sessionType": "interactive", "kernel": _KERNEL, "resources": _RESOURCES, "scaling_group": "default"}
    return await _template("session", spec)


async def _prepared(kind: str, api: Any, name: str) -> Create:
    """What asks for a session of this kind and answers its ID; what comes before it is done."""
    if kind == "template":
        template = await _session_template()

        async def from_template() -> str:
            session = await api.ComputeSession.create_from_template(
                # 25.15 cannot do without a type, which it calls optional.
                template,
                name=name,
                type_="interactive",
                resources=_RESOURCES,
                **_OPTIONS,
            )
            return str(session.id)

        return from_template
    if kind == "cluster":
        node = {"role": "main", "sessionTemplate": await _session_template(), "replicas": 1}
        template = await _template("cluster", {"environ": {}, "mounts": {}, "nodes": [node]})

        async def cluster() -> str:
            body = {"clientSessionToken": name, "template_id": template, "enqueueOnly": True}
            answer = await _post("/session/_/create-cluster", body | {"scaling_group": "default"})
            return str(answer.get("sessionId") or answer["kernelId"])

        return cluster

    async def plain() -> str:
        more = {"type_": "batch", "startup_command": "true"} if kind == "batch" else {}
        session = await api.ComputeSession.get_or_create(
            release.IMAGE, name=name, resources=_RESOURCES, **_OPTIONS, **more
        )
        return str(session.id)

    return plain


async def _one(api: Any, kind: str) -> dict[str, object]:
    name = f"kinds-{uuid.uuid4().hex[:8]}"
    told: dict[str, object] = {"kind": kind, "id": "", "created": "", "destroyed": ""}
    try:
        create = await _prepared(kind, api, name)
        with bind_request_id() as created, _tracer.start_as_current_span("a session"):
            told |= {"created": created, "posted_at": time.time()}
            session: str | None
            try:
                session = await create()
            except BackendAPIError as error:
                # 26.9 makes a session from a template, and then fails to say so.
                session, told["answered"] = await _named(name), f"{error.status} {error.reason}"
                if session is None:
                    raise
            told["id"] = session
        if kind != "batch":
            await until(session, "RUNNING", INTERVAL)
            told["running_at"] = time.time()
            # Its last events are still on their way.
            await asyncio.sleep(1)
            if kind == "restart":
                told |= await _restart(api, name)
                await until(session, "RUNNING", INTERVAL)
            with bind_request_id() as destroyed, _tracer.start_as_current_span("a session's end"):
                told["destroyed"] = destroyed
                await api.ComputeSession(name).destroy()
        row = await until(session, "TERMINATED", INTERVAL)
        told |= {"terminated_at": time.time(), "names": names_of(row)}
    except BackendAPIError as error:
        told["refused"] = f"{error.status} {error.reason}"
    except RuntimeError as error:
        told["failed"] = [str(error)]
    return told


async def _named(name: str) -> str | None:
    """The ID of the session of this name, if there is one."""
    with bind_request_id():
        async with release.Request("GET", "/session/_/match", params={"id": name}).fetch() as response:
            found = (await response.json())["matches"]
    return str(found[0]["id"]) if found else None


async def _restart(api: Any, name: str) -> dict[str, object]:
    with bind_request_id() as restarted, _tracer.start_as_current_span("a session's restart"):
        try:
            await api.ComputeSession(name).restart()
        except BackendAPIError as error:
            return {"refused": f"{error.status} {error.reason}"}
    return {"restarted": restarted}


async def _all(kinds: list[str]) -> list[dict[str, object]]:
    async with release.AsyncSession() as api:
        return [await _one(api, kind) for kind in kinds]


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("kinds", nargs="+", choices=("batch", "template", "cluster", "restart"))
    arguments.add_argument("--report", type=Path, required=True)
    parsed = arguments.parse_args()
    parsed.report.write_text(json.dumps(asyncio.run(_all(parsed.kinds))))
