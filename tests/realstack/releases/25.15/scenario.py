# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What smoke.py does with a 25.15 cluster, through the released client SDK."""

from __future__ import annotations

import os
import uuid

import aiohttp
from ai.backend.client.config import APIConfig
from ai.backend.client.request import Request
from ai.backend.client.session import AsyncSession, api_session
from scenario_steps import create, list_files, traced_headers, until, upload

IMAGE = os.environ["REALSTACK_IMAGE"]
STEPS = "hello,vfolder,session,app,web (app: inside session; web: folder and session again, through the web server)"


async def use_app(run, service: dict, session_id) -> None:
    """From the coordinator by its redirects to the app behind the worker's port, then to the app once more."""
    # the app listens inside the agent and answers with what reached it
    async with aiohttp.ClientSession(headers=run.headers, cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        url = None
        async with run.step("app through the proxy") as note:
            params = {"app": "ttyd", "protocol": "http", "token": service["token"], "session_id": str(session_id)}
            async with http.get(f"{service['wsproxy_addr']}/v2/proxy/auth", params=params) as resp:
                resp.raise_for_status()
                url = resp.url
                note["hops"] = [str(r.url.with_query(None)) for r in (*resp.history, resp)]
                note["arrived"] = traced_headers((await resp.json())["headers"])
        if url is not None:
            async with run.step("app through a WebSocket") as note:
                async with http.ws_connect(url) as ws:
                    note["arrived"] = traced_headers((await ws.receive_json(timeout=10))["headers"])
        await close_app(http, service["wsproxy_addr"], session_id)


async def start_app(run, api: AsyncSession, name: str, session_id) -> None:
    service = None
    async with run.step("session start-service") as note:
        service = await api.ComputeSession(name).start_service("ttyd", login_session_token="x")
        note.update(service)
    if service is not None:
        await use_app(run, service, session_id)


async def close_app(http: aiohttp.ClientSession, proxy: str, session_id) -> None:
    """Here: the coordinator takes the port back by itself, half a minute after its last use."""


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
                assert result["status"] == "finished"
            if run.want("app"):
                async with run.journey("app start"):
                    await start_app(run, api, name, sess.id)
            if not run.keep:
                async with run.step("session destroy", waits=True) as note:
                    await api.ComputeSession(name).destroy()
                    note["seen"] = await until(sess.id, {"TERMINATED"})

    if run.want("vfolder") and not run.keep:
        async with run.step("vfolder delete"):
            await api.VFolder(folder).delete()


async def drive_web(run, api: AsyncSession) -> None:
    """The same in short, as a logged-in user of the web server."""
    tag = uuid.uuid4().hex[:8]
    async with run.step("web: login") as note:
        reply = await api.Auth.login(os.environ["REALSTACK_EMAIL"], os.environ["REALSTACK_PASSWORD"])
        note["authenticated"] = reply["authenticated"]
        assert reply["authenticated"], reply
        # the SDK leaves it to its caller to hand the cookie on
        api.aiohttp_session.cookie_jar.update_cookies(reply["cookies"])
    folder = name = f"web-{tag}"
    async with run.step("web: vfolder create"):
        await api.VFolder.create(folder, usage_mode="general")
    async with run.step("web: vfolder upload (tus)"):
        await upload(api, folder)
    sess = None
    async with run.step("web: session create") as note:
        sess = await create(api, IMAGE, name, folder)
        note.update(id=sess.id, status=sess.status)
    if sess is not None:
        async with run.step("web: session until RUNNING", waits=True) as note:
            note["seen"] = await until(sess.id, {"RUNNING"})
        async with run.step("web: session destroy", waits=True) as note:
            await api.ComputeSession(name).destroy()
            note["seen"] = await until(sess.id, {"TERMINATED"})
    async with run.step("web: vfolder delete"):
        await api.VFolder(folder).delete()


async def scenario(run) -> None:
    for _ in range(run.repeat):
        async with AsyncSession() as api:
            api.aiohttp_session.headers.update(run.headers)
            assert api_session.get() is api
            await drive(run, api)
        if run.want("web"):
            config = APIConfig(endpoint=os.environ["REALSTACK_WEBSERVER"], endpoint_type="session")
            async with AsyncSession(config=config) as api:
                api.aiohttp_session.headers.update(run.headers)
                api.aiohttp_session._cookie_jar = aiohttp.CookieJar(unsafe=True)  # cookies of an IP address
                await drive_web(run, api)
