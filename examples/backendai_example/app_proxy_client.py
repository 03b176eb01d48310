# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Calls of the manager to the app-proxy coordinator."""

from collections.abc import Mapping
from typing import Any

import aiohttp

AUTH_HEADER = "X-BackendAI-Token"


async def call_app_proxy(
    session: aiohttp.ClientSession, coordinator_url: str, operation: str, params: Mapping[str, object], *, token: str
) -> dict[str, Any]:
    """POST `params` to an operation of the coordinator; returns the JSON answer.

    Raises `aiohttp.ClientResponseError` for a 4xx or 5xx.
    """
    async with session.post(
        f"{coordinator_url}/{operation}", headers={AUTH_HEADER: token}, json=params, raise_for_status=True
    ) as response:
        answer: dict[str, Any] = await response.json()
        return answer
