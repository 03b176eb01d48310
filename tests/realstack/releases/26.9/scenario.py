# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
What smoke.py does with a 26.9 cluster: the released client SDK for signed calls,
plain HTTP for what a browser does (web server, application behind the proxy).
"""

from __future__ import annotations

import os
import uuid

import aiohttp
from ai.backend.client.request import Request
from ai.backend.client.session import AsyncSession, api_session
from scenario_steps import create, list_files, traced_headers, until, upload

IMAGE = os.environ["REALSTACK_IMAGE"]
WEB = os.environ["REALSTACK_WEBSERVER"]
STEPS = "hello,web,vfolder,session,app"


async def web_login(run) -> None:
    """As a browser: log in at the web server, which then signs calls to the manager."""
    jar = aiohttp.CookieJar(unsafe=True)  # the host is an address
    async with aiohttp.ClientSession(cookie_jar=jar, headers=run.headers) as http:
        async with run.step("web login") as note:
            creds = {
                "username": os.environ["REALSTACK_EMAIL"],
                "password": os.environ["REALSTACK_PASSWORD"],
            }
            async with http.post(f"{WEB}/server/login", json=creds) as resp:
                reply = await resp.json()
                note.update(status=resp.status, headers=traced_headers(resp.headers.items()))
                assert reply["authenticated"], reply
        async with run.step("web: GraphQL to the manager") as note:
            query = {"query": "{ agents { id status } }"}
            async with http.post(f"{WEB}/func/admin/gql", json=query) as resp:
                reply = await resp.json()
                note.update(status=resp.status, headers=traced_headers(resp.headers.items()))
                note["agents"] = (reply.get("data") or reply)["agents"]
                assert resp.status == 200, reply
        async with run.step("web logout") as note:
            async with http.post(f"{WEB}/server/logout") as resp:
                note["status"] = resp.status


async def use_app(run, session, session_id, app: str) -> None:
    async with run.step("start-service") as note:
        service = await session.start_service(app, login_session_token="x")
        note.update(service)
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, headers=run.headers) as http:
        async with run.step("app-proxy: make the circuit") as note:
            async with http.get(
                f"{service['wsproxy_addr']}/v2/proxy/auth",
                params={
                    "token": service["token"],
                    "session_id": str(session_id),
                    "app": app,
                    "protocol": "http",
                },
                headers={"Accept": "application/json"},
            ) as resp:
                reply = await resp.json()
                note.update(status=resp.status, headers=traced_headers(resp.headers.items()))
            setup = reply["redirect_url"]
            async with http.get(setup, allow_redirects=False) as resp:
                note.update(worker=resp.status)
                url = resp.headers["Location"]
        async with run.step("app through the circuit") as note:
            async with http.get(url) as resp:
                reply = await resp.json()
                note.update(status=resp.status, url=url.split("?")[0])
                note["arrived"] = traced_headers(reply["headers"])
                assert reply["service"] == "stand-in"
        async with run.step("app through a WebSocket") as note:
            async with http.ws_connect(url) as ws:
                reply = await ws.receive_json(timeout=10)
                note["arrived"] = traced_headers(reply["headers"])
                assert reply["service"] == "stand-in"


async def start_app(run, api: AsyncSession, name: str, session_id) -> None:
    await use_app(run, api.ComputeSession(name), session_id, "ttyd")


async def drive(run, api: AsyncSession) -> None:
    tag = uuid.uuid4().hex[:8]
    if run.want("hello"):
        async with run.step("GET /") as note:
            async with Request("GET", "/").fetch() as resp:
                note.update(await resp.json())
                note["headers"] = sorted(k for k in resp.headers if k.lower().startswith(("x-", "trace")))
    if run.want("web"):
        await web_login(run)

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
            session = api.ComputeSession(name)
            async with run.step("session until RUNNING", waits=True) as note:
                note["seen"] = await until(sess.id, {"RUNNING"})
            async with run.step("session execute") as note:
                result = await session.execute(code="print(1)", mode="query")
                note.update(status=result["status"], console=result["console"])
            async with run.step("session logs") as note:
                note["logs"] = (await session.get_logs())["result"]["logs"]
            if run.want("app"):
                async with run.journey("app start"):
                    await use_app(run, session, sess.id, "ttyd")
            if not run.keep:
                async with run.step("session destroy", waits=True) as note:
                    await session.destroy()
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
