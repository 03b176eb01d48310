# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Reading what a client sent."""

from typing import Any

from aiohttp import web


async def read_json_object(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body, empty when there is no body. Raises `HTTPBadRequest` for anything else."""
    if not request.can_read_body:
        return {}
    try:
        body = await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest(text="the body is not JSON") from error
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body is not a JSON object")
    return body
