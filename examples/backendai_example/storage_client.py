# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Calls of the manager to the storage-proxy."""

from collections.abc import Mapping
from typing import Any

import aiohttp

STORAGE_AUTH_HEADER = "X-BackendAI-Storage-Auth-Token"


class StorageProxyError(Exception):
    """The storage-proxy refused a call; `status` is the HTTP status for the client: its own 4xx, or 502."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status if status < 500 else 502


async def call_storage_proxy(
    session: aiohttp.ClientSession, endpoint: str, params: Mapping[str, object], *, token: str
) -> dict[str, Any]:
    """POST `params` to `endpoint`; returns the JSON answer. Raises `StorageProxyError` for a 4xx or 5xx."""
    async with session.post(endpoint, headers={STORAGE_AUTH_HEADER: token}, json=params) as response:
        if response.status >= 400:
            raise StorageProxyError(response.status, await response.text())
        answer: dict[str, Any] = await response.json()
        return answer
