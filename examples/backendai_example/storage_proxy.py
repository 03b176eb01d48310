# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The storage-proxy: a manager-facing API that gives upload tokens, and a client-facing one that takes the files."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from .request_body import read_json_object
from .serving import listening, serve
from .settings import Settings, read_settings
from .storage_client import STORAGE_AUTH_HEADER
from .upload_tokens import Upload, issue_token, verify_token
from .vfolder_store import VFolderStore, temporary_store

log = logging.getLogger(__name__)

MAX_UPLOAD_SIZE = 64 << 20
CHUNK_SIZE = 64 << 10


class StorageProxy:
    """Both APIs over one store."""

    def __init__(self, settings: Settings, store: VFolderStore) -> None:
        self._settings = settings
        self._store = store
        self._secret = secrets.token_bytes(32)

    def manager_facing_app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_post("/folder/upload", self._create_upload)
        app.router.add_post("/folder/delete", self._delete_file)
        return app

    def client_facing_app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_UPLOAD_SIZE)
        app.router.add_get("/health", self._health)
        app.router.add_put("/upload", self._upload)
        app.router.add_patch("/upload", self._upload)
        return app

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _create_upload(self, request: web.Request) -> web.Response:
        self._require_manager(request)
        match await read_json_object(request):
            case {"folder": str() as folder, "path": str() as path, "size": int() as size}:
                upload = Upload(folder, path, size)
            case _:
                raise web.HTTPBadRequest(text="folder, path and size are needed")
        if not 0 <= upload.size <= MAX_UPLOAD_SIZE:
            raise web.HTTPRequestEntityTooLarge(MAX_UPLOAD_SIZE, upload.size)
        log.info("upload token given for %s:%s", upload.folder, upload.path)
        return web.json_response(
            {"token": issue_token(upload, self._secret), "url": f"{self._settings.storage_client_url}/upload"}
        )

    async def _delete_file(self, request: web.Request) -> web.Response:
        self._require_manager(request)
        params = await read_json_object(request)
        deleted = self._store.delete(str(params.get("folder")), str(params.get("path")))
        log.info("delete of a file: %s", "done" if deleted else "no such file")
        return web.json_response({"deleted": deleted})

    async def _upload(self, request: web.Request) -> web.Response:
        try:
            upload = verify_token(request.query.get("token", ""), self._secret)
        except ValueError as error:
            raise web.HTTPForbidden(text="the upload token is not valid") from error
        file = self._store.new_file()
        received = 0
        try:
            with file.open("wb") as output:
                async for chunk in request.content.iter_chunked(CHUNK_SIZE):
                    received += len(chunk)
                    if received > upload.size:
                        raise web.HTTPRequestEntityTooLarge(upload.size, received)
                    await asyncio.to_thread(output.write, chunk)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        self._store.keep(upload.folder, upload.path, file)
        log.info("%d bytes written to %s:%s", received, upload.folder, upload.path)
        return web.json_response({"folder": upload.folder, "path": upload.path, "size": received})

    def _require_manager(self, request: web.Request) -> None:
        if request.headers.get(STORAGE_AUTH_HEADER) != self._settings.storage_token:
            raise web.HTTPUnauthorized


@asynccontextmanager
async def open_worker(worker_index: int) -> AsyncIterator[str]:
    settings = read_settings()
    with temporary_store() as store:
        proxy = StorageProxy(settings, store)
        async with (
            listening(proxy.manager_facing_app(), settings.storage_port) as manager_url,
            listening(proxy.client_facing_app(), settings.storage_client_port) as client_url,
        ):
            yield f"{manager_url} (manager) and {client_url} (clients)"


if __name__ == "__main__":
    serve("storage-proxy", open_worker)
