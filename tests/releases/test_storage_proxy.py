# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The storage-proxy's own spans name the folder: from the manager's body, from the token of a client's URL."""

import importlib
from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.trace import SpanKind

from tests.conftest import Telemetry

FOLDER, OTHER, OWNER = (UUID(int=number, version=4) for number in (1, 2, 3))
# How the manager writes it.
VFID, OTHER_VFID = f"user:{OWNER}/{FOLDER.hex}", f"user:{OWNER}/{OTHER.hex}"
# By name: what the storage-proxy signs with, there only beside the releases.
jwt: Any = importlib.import_module("jwt")
SECRET = "a secret of the storage-proxy, long enough for its algorithm"  # noqa: S105  # of this test


class Configuration(dict[str, Any]):
    """What handlers ask for the secret: a mapping up to 24.03, an object later."""

    storage_proxy = SimpleNamespace(secret=SECRET, session_expire=timedelta(days=1))


@pytest.fixture
async def storage(telemetry: Telemetry) -> AsyncIterator[str]:
    """The storage-proxy's own handlers in an application without volumes, so that requests end where theirs begin."""
    from ai.backend.storage.api import client, manager
    from ai.backend.storage.context import RootContext

    app = web.Application()
    # No volumes at all: each handler fails, after it has read what it was asked for.
    context: Any = object.__new__(RootContext)
    context.local_config = Configuration({"storage-proxy": {"secret": SECRET}})
    app["ctx"] = context
    app.router.add_post("/folder/file/mkdir", manager.mkdir)
    app.router.add_post("/folder/clone", manager.clone_vfolder)
    app.router.add_get("/volumes", manager.get_volumes)
    app.router.add_get("/download", client.download)
    app.router.add_head("/upload", client.tus_check_session)
    if hasattr(manager, "ArchiveDownloadHandler"):
        app.router.add_post("/archive-token", manager.ArchiveDownloadHandler().create_session)
        app.router.add_get("/download-archive", client.DownloadHandler(SECRET).download_archive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def folder_on_span(telemetry: Telemetry, method: str, url: str, **request: Any) -> tuple[int, object]:
    """What a request is answered, and which folder its SERVER span names."""
    async with aiohttp.ClientSession() as session, session.request(method, url, **request) as response:
        status = response.status
    attributes = telemetry.only(SpanKind.SERVER).attributes or {}
    telemetry.exporter.clear()
    return status, attributes.get("backendai.vfolder.id")


async def test_the_managers_request(storage: str, telemetry: Telemetry) -> None:
    """By the body; one that names two folders names none, one that is refused or about none neither."""
    body = {"volume": "v", "vfid": VFID, "relpath": "a", "parents": True, "exist_ok": False}
    found = await folder_on_span(telemetry, "POST", f"{storage}/folder/file/mkdir", json=body)
    assert found == (500, str(FOLDER))
    clone = {"src_volume": "v", "src_vfid": VFID, "dst_volume": "v", "dst_vfid": OTHER_VFID}
    assert await folder_on_span(telemetry, "POST", f"{storage}/folder/clone", json=clone) == (500, None)
    refused = await folder_on_span(
        telemetry, "POST", f"{storage}/folder/file/mkdir", json={**body, "vfid": "no folder"}
    )
    assert refused == (400, None)
    assert (await folder_on_span(telemetry, "GET", f"{storage}/volumes"))[1] is None


async def test_a_clients_request(storage: str, telemetry: Telemetry) -> None:
    """By a token that the storage-proxy accepts; one with another signature names nothing."""
    download = {"op": "download", "volume": "v", "vfid": VFID, "relpath": "a"}
    upload = {**download, "op": "upload", "session": "s", "size": 5}
    for method, path, token in (("GET", "/download", download), ("HEAD", "/upload", upload)):
        for secret, expected in ((SECRET, (500, str(FOLDER))), ("x" * 64, (400, None))):
            signed = jwt.encode(token, secret, algorithm="HS256")
            assert await folder_on_span(telemetry, method, f"{storage}{path}", params={"token": signed}) == expected


@pytest.mark.releases(since="26.4")
async def test_archives(storage: str, telemetry: Telemetry) -> None:
    """Asked for by the manager, fetched by a client with the token that the storage-proxy has made for it."""
    body = {"volume": "v", "virtual_folder_id": VFID, "files": ["a"]}
    async with aiohttp.ClientSession() as session, session.post(f"{storage}/archive-token", json=body) as response:
        assert response.status == 200
        token = (await response.json())["token"]
    assert (telemetry.only(SpanKind.SERVER).attributes or {})["backendai.vfolder.id"] == str(FOLDER)
    telemetry.exporter.clear()
    found = await folder_on_span(telemetry, "GET", f"{storage}/download-archive", params={"token": token})
    assert found == (500, str(FOLDER))
    refused = await folder_on_span(telemetry, "GET", f"{storage}/download-archive", params={"token": f"{token}x"})
    assert refused[1] is None
