# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""`/folders`: virtual folders, and nested in it `/folders/_/trash`."""

import logging

from aiohttp import web

from .manager_context import ManagerContext
from .request_body import read_json_object
from .storage_client import call_storage_proxy

log = logging.getLogger(__name__)


class FolderHandlers:
    """Passes what concerns files on to the storage-proxy."""

    def __init__(self, manager: ManagerContext) -> None:
        self._manager = manager

    def app(self) -> web.Application:
        trash = web.Application()
        trash.router.add_post("", self._delete_file)
        app = web.Application()
        app.router.add_post("/upload", self._upload)
        app.add_subapp("/_/trash", trash)
        return app

    async def _upload(self, request: web.Request) -> web.Response:
        """Answer with the URL to upload a file to, and the token that allows it."""
        body = await read_json_object(request)
        params = {"folder": body.get("folder"), "path": body.get("path"), "size": body.get("size")}
        log.info("upload to folder %s", params["folder"])
        return web.json_response(await self._call("folder/upload", params))

    async def _delete_file(self, request: web.Request) -> web.Response:
        body = await read_json_object(request)
        params = {"folder": body.get("folder"), "path": body.get("path")}
        log.info("delete in folder %s", params["folder"])
        return web.json_response(await self._call("folder/delete", params))

    async def _call(self, operation: str, params: dict[str, object]) -> dict[str, object]:
        settings = self._manager.settings
        return await call_storage_proxy(
            self._manager.http, f"{settings.storage_url}/{operation}", params, token=settings.storage_token
        )
