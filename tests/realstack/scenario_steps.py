# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the scenarios of all releases do in the same way; runs beside the released client SDK, under smoke.py."""

import asyncio
import importlib
import json
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# By name: only the environment of a stack has it.
Request: Any = importlib.import_module("ai.backend.client.request").Request

_UPLOAD_SIZE = 100_000


async def session_row(session_id: object) -> dict[str, Any]:
    """Status and status information of a session, as the manager's GraphQL says."""
    request = Request("POST", "/admin/gql")
    query = "query($id: UUID!) { compute_session(id: $id) { status status_info } }"
    request.set_json({"query": query, "variables": {"id": str(session_id)}})
    async with request.fetch() as response:
        reply = await response.json()
    return (reply.get("data") or reply)["compute_session"] or {}


async def until(session_id: object, wanted: set[str], limit: float = 90) -> list[str]:
    """Poll the status until it is one of ``wanted``; the statuses seen.

    Raises:
        RuntimeError: The session ended otherwise, or ``limit`` seconds were not enough.
    """
    seen: list[str] = []
    end = time.monotonic() + limit
    while time.monotonic() < end:
        status = (await session_row(session_id)).get("status")
        if status and (not seen or seen[-1] != status):
            seen.append(status)
        if status in wanted:
            return seen
        if status in {"ERROR", "CANCELLED", "TERMINATED"}:
            break
        await asyncio.sleep(0.15)
    raise RuntimeError(f"wanted {wanted}, saw {seen}")


async def upload(api: Any, folder: str) -> None:
    """Upload ``hello.txt`` into a folder."""
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "hello.txt")
        source.write_bytes(os.urandom(_UPLOAD_SIZE))  # noqa: ASYNC240  # a client of its own
        await api.VFolder(folder).upload([source], basedir=directory, show_progress=False)


async def list_files(api: Any, folder: str) -> list[tuple[str, int]]:
    """Names and sizes of what is in a folder, which has to be what :func:`upload` has put there."""
    items = (await api.VFolder(folder).list_files("."))["items"]
    if isinstance(items, str):
        items = json.loads(items)
    files = [(item["name"], item["size"]) for item in items]
    assert files == [("hello.txt", _UPLOAD_SIZE)]
    return files


async def create(api: Any, image: str, name: str, folder: str | None) -> Any:
    """Ask for a session, with a folder in it if one is named."""
    return await api.ComputeSession.get_or_create(
        image,
        name=name,
        enqueue_only=True,
        resources={"cpu": 1, "mem": "256m"},
        mounts=[folder] if folder else None,
        group_name="default",
        domain_name="default",
        tag="smoke",
    )


def traced_headers(headers: Iterable[tuple[str, str]]) -> list[str]:
    """Those of the headers that name a request or a trace."""
    words = ("x-request", "x-backend", "x-correlation", "trace", "baggage")
    return sorted(f"{name}={value}" for name, value in headers if name.lower().startswith(words))
