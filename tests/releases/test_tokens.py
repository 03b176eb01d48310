# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Tokens that a released Backend.AI makes and takes back, with its own handlers and JSON web tokens."""

import asyncio
import importlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.component import component
from otel_backendai.hops import context_listener, http_client, http_server, tokens
from otel_backendai.hops.kept_contexts import KeptContexts
from otel_backendai.hops.tokens import digest_of
from otel_backendai.names import SETTING_COMPONENT, TOKEN_CHANNEL, TOKEN_KEY_PREFIX
from otel_backendai.releases.tokens import brought_token
from tests.conftest import Telemetry
from tests.releases.bus import FAMILY
from tests.releases.test_deferred import make_a_client
from tests.releases.test_user_traffic import serving

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FROM_THE_MANAGER = {"X-Request-ID": "req-1", "traceparent": TRACE}
UPLOAD = "upload-1"
FOLDER = f"user:{uuid4()}/{uuid4().hex}"
CONTENT = b"hello"


class Section(dict[str, Any]):
    """A part of the configuration: up to 24.03 a mapping, later an object."""

    def __getattr__(self, name: str) -> Any:
        return self[name.replace("_", "-")]


def storage_context(folder: Path) -> Any:
    """What the storage-proxy's handlers ask of their process, with one volume of one folder."""
    staging = folder / ".upload" / UPLOAD
    staging.parent.mkdir()
    staging.touch()
    (folder / "hello.txt").write_bytes(CONTENT)

    async def prepare_upload(_: object) -> str:
        return UPLOAD

    volume = SimpleNamespace(
        prepare_upload=prepare_upload, mangle_vfpath=lambda _: folder, sanitize_vfpath=lambda _: folder
    )

    @asynccontextmanager
    async def get_volume(_: str) -> AsyncIterator[Any]:
        yield volume

    secret = {"secret": "a secret of at least thirty-two bytes", "session-expire": timedelta(days=1)}
    tus = AsyncMock()
    tus.get_offset.return_value = 0
    # Of the class that the newer handlers check for, without what it is made of, and open to what is set here.
    released = importlib.import_module("ai.backend.storage.context").RootContext
    context: Any = object.__new__(type("Context", (released,), {}))
    context.local_config = Section({"storage-proxy": Section(secret)})
    context.get_volume = get_volume
    context.volume_pool = SimpleNamespace(get_volume_by_name=lambda _: volume)
    context.valkey_tus_client = tus
    return context


@pytest.fixture
async def storage(telemetry: Telemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The base URL of the release's handlers; nothing of ours goes out of this process, like from a plain client."""
    http_client.HOP.uninstall()
    monkeypatch.setattr(http_server, "token_of", brought_token)
    makers = importlib.import_module("ai.backend.storage.api.manager")
    takers = importlib.import_module("ai.backend.storage.api.client")
    app = web.Application()
    app["ctx"] = storage_context(tmp_path)
    app.router.add_post("/folder/file/upload", makers.create_upload_session)
    app.router.add_post("/folder/file/download", makers.create_download_session)
    app.router.add_head("/upload", takers.tus_check_session)
    app.router.add_get("/download", takers.download)
    if hasattr(makers, "ArchiveDownloadHandler"):
        app.router.add_post("/folder/file/archive", makers.ArchiveDownloadHandler().create_session)
        archives = takers.DownloadHandler(app["ctx"].local_config.storage_proxy.secret)
        app.router.add_get("/download-archive", archives.download_archive)
    async with serving(app) as url:
        yield url


async def made(base: str, kind: str, **more: object) -> str:
    """A token, asked for as the manager does."""
    asked = {"volume": "volume", "vfid": FOLDER, "relpath": "hello.txt", **more}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{base}/folder/file/{kind}", json=asked, headers=FROM_THE_MANAGER) as response,
    ):
        assert response.status == 200, await response.text()
        return str((await response.json())["token"])


async def only(telemetry: Telemetry, name: str) -> ReadableSpan:
    """The server span of this name; it ends a moment after the client has all of the response."""
    deadline = time.monotonic() + 10
    while True:
        found = [span for span in telemetry.of_kind(SpanKind.SERVER) if span.name == name]
        if found:
            return found[0]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def check(telemetry: Telemetry, maker: str, taker: str, token: str) -> None:
    """One is below the other, under the request's ID, and no span shows the token."""
    above, below = await only(telemetry, maker), await only(telemetry, taker)
    assert below.parent is not None
    assert (below.parent.trace_id, below.parent.span_id) == (above.context.trace_id, above.context.span_id)
    assert (below.attributes or {})["backendai.request.id"] == "req-1"
    assert token not in "".join(span.to_json() for span in telemetry.spans)


async def test_an_upload(telemetry: Telemetry, storage: str) -> None:
    """TUS's first question continues the manager's request for the token."""
    token = await made(storage, "upload", size=len(CONTENT))
    async with (
        aiohttp.ClientSession() as session,
        session.head(f"{storage}/upload", params={"token": token}) as response,
    ):
        assert response.headers["Upload-Length"] == str(len(CONTENT))
        assert response.headers["X-Backend-Request-ID"] == "req-1"
    await check(telemetry, "POST /folder/file/upload", "HEAD /upload", token)


async def test_a_download(telemetry: Telemetry, storage: str) -> None:
    """So does a download, by a browser or anybody."""
    token = await made(storage, "download")
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{storage}/download", params={"token": token}) as response,
    ):
        assert await response.read() == CONTENT
    await check(telemetry, "POST /folder/file/download", "GET /download", token)


@pytest.mark.releases(since="26.4")
async def test_an_archive(telemetry: Telemetry, storage: str) -> None:
    """So does the download of several files as one."""
    token = await made(storage, "archive", virtual_folder_id=FOLDER, files=["hello.txt"])
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{storage}/download-archive", params={"token": token}) as response,
    ):
        assert (await response.read()).startswith(b"PK")
    await check(telemetry, "POST /folder/file/archive", "GET /download-archive", token)


async def test_a_forged_token(telemetry: Telemetry, storage: str) -> None:
    """It is refused, and its request is nobody's but its own."""
    token = await made(storage, "download")
    forged = f"{token[:-4]}AAAA"
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{storage}/download", params={"token": forged}) as response,
    ):
        assert response.status == 400
        assert response.headers["X-Backend-Request-ID"] != "req-1"
    assert (await only(telemetry, "GET /download")).parent is None


@pytest.fixture
def in_the_storage_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process is one of its workers; its listener ends soon after the test."""
    monkeypatch.setenv(SETTING_COMPONENT, "storage-proxy")
    monkeypatch.setattr(context_listener, "WAKE", 0.1)
    component.cache_clear()
    yield
    component.cache_clear()


@pytest.mark.usefixtures("in_the_storage_proxy")
async def test_another_worker_hears_of_it(telemetry: Telemetry, redis_port: int) -> None:
    """Once a worker has made the client for its events, it knows the tokens that others make, without asking."""
    await make_a_client(redis_port)
    other = KeptContexts(TOKEN_KEY_PREFIX, 10, 60, TOKEN_CHANNEL)
    other.store = tokens.tokens.store
    digest = digest_of("token") or ""
    deadline = time.monotonic() + 10
    while tokens.tokens.known(digest) is None:
        other.remember(digest, request_id.bind("req-1", Context()))
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    kept = tokens.tokens.known(digest)
    assert kept is not None
    assert request_id.read(kept.context) == "req-1"


@pytest.mark.releases(since="24.3")
def test_the_way_to_an_app(telemetry: Telemetry) -> None:
    """Each of the three that give a token on the way is seen to make it."""
    where = "wsproxy.api.{0}" if FAMILY < (25, 13) else "appproxy.{1}.api.{0}"
    for module, part, name in (
        ("conf", "coordinator", "conf_v2"),
        ("proxy", "coordinator", "proxy"),
        ("setup", "worker", "setup"),
    ):
        maker = getattr(importlib.import_module(f"ai.backend.{where.format(module, part)}"), name)
        assert maker.__wrapped__.__qualname__.endswith(("wrapped", name))
        assert maker.__code__.co_filename.endswith("otel_backendai/releases/tokens.py")
