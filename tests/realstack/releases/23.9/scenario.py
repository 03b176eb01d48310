# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What smoke.py does with a 23.9 cluster, through the released client SDK."""

from __future__ import annotations

import json
import os
import uuid

from ai.backend.client.request import Request
from ai.backend.client.session import AsyncSession, api_session
from scenario_steps import create, list_files, traced_headers, until, upload

IMAGE = os.environ["REALSTACK_IMAGE"]
STEPS = "hello,vfolder,session"


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
            await upload(api, folder)
        async with run.step("vfolder list files") as note:
            note["files"] = await list_files(api, folder)

    if run.want("session"):
        name = f"smoke-{tag}"
        sess = None
        async with run.step("session create (enqueue)") as note:
            sess = await create(api, IMAGE, name, folder if run.want("vfolder") else None)
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
