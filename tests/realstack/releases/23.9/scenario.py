# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What smoke.py does with a 23.9 cluster, through the released client SDK."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
import uuid
from pathlib import Path

from ai.backend.client.request import Request
from ai.backend.client.session import AsyncSession, api_session

IMAGE = os.environ["REALSTACK_IMAGE"]
STEPS = "hello,vfolder,session"


async def session_row(session_id) -> dict:
    q = "query($id: UUID!) { compute_session(id: $id) { status status_info } }"
    rqst = Request("POST", "/admin/gql")
    rqst.set_json({"query": q, "variables": {"id": str(session_id)}})
    async with rqst.fetch() as resp:
        reply = await resp.json()
    return (reply.get("data") or reply)["compute_session"] or {}


async def until(session_id, wanted: set[str], limit: float = 60) -> list[str]:
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


def traced_headers(headers) -> list[str]:
    words = ("x-request", "x-backend", "x-correlation", "trace", "baggage")
    return sorted(f"{k}={v}" for k, v in headers if k.lower().startswith(words))


async def start_app(run, api: AsyncSession, name: str) -> None:
    """The app by the manager's own tunnel, a WebSocket that carries the bytes of a connection to it."""
    async with run.step("session start-service") as note:
        note.update(await api.ComputeSession(name).start_service("ttyd", login_session_token="x"))
    async with run.step("app through a WebSocket") as note:
        tunnel = Request("GET", f"/stream/session/{name}/httpproxy", params={"app": "ttyd"})
        async with tunnel.connect_websocket() as ws:
            await ws.send_bytes(b"GET / HTTP/1.1\r\nHost: stand-in\r\n\r\n")
            answer = b""
            while b"}" not in answer:
                answer += await ws.raw_websocket.receive_bytes(timeout=10)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK"), head
            note["arrived"] = traced_headers(json.loads(body)["headers"])


async def drive(run, api: AsyncSession) -> None:
    tag = uuid.uuid4().hex[:8]
    if run.want("hello"):
        async with run.step("GET /") as note:
            async with Request("GET", "/").fetch() as resp:
                note.update(await resp.json())
                note["headers"] = sorted(k for k in resp.headers if k.lower().startswith(("x-", "trace")))

    folder = f"smoke-{tag}"
    if run.want("vfolder"):
        async with run.step("vfolder create") as note:
            note["id"] = (await api.VFolder.create(folder, usage_mode="general"))["id"]
        async with run.journey("folder upload"), run.step("vfolder upload (tus)"):
            with tempfile.TemporaryDirectory() as d:
                src = Path(d) / "hello.txt"
                src.write_bytes(os.urandom(100_000))
                await api.VFolder(folder).upload([src], basedir=d, show_progress=False)
        async with run.step("vfolder list files") as note:
            items = (await api.VFolder(folder).list_files("."))["items"]
            items = json.loads(items) if isinstance(items, str) else items
            note["files"] = [(i["name"], i["size"]) for i in items]
            assert note["files"] == [("hello.txt", 100_000)]

    if run.want("session"):
        name = f"smoke-{tag}"
        sess = None
        async with run.step("session create (enqueue)") as note:
            sess = await api.ComputeSession.get_or_create(
                IMAGE,
                name=name,
                enqueue_only=True,
                resources={"cpu": 1, "mem": "256m"},
                mounts=[folder] if run.want("vfolder") else None,
                group_name="default",
                domain_name="default",
                tag="smoke",
            )
            note.update(id=sess.id, status=sess.status)
        if sess is not None:
            async with run.step("session until RUNNING", waits=True) as note:
                note["seen"] = await until(sess.id, {"RUNNING"})
            async with run.step("session execute") as note:
                result = await api.ComputeSession(name).execute(code="print(1)", mode="query")
                note.update(status=result["status"], console=result["console"])
            async with run.journey("app start"):
                await start_app(run, api, name)
            if not run.keep:
                async with run.step("session destroy", waits=True) as note:
                    await api.ComputeSession(name).destroy()
                    note["seen"] = await until(sess.id, {"TERMINATED"})

    if run.want("vfolder") and not run.keep:
        async with run.step("vfolder delete"):
            await api.VFolder(folder).delete()


async def scenario(run) -> None:
    async with AsyncSession() as api:
        api.aiohttp_session.headers.update(run.headers)
        assert api_session.get() is api
        for _ in range(run.repeat):
            await drive(run, api)
