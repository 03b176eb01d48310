# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The command line client: `session` creates a compute session, `upload` puts a file into a folder.

Prints one JSON line with what it got; the exit code is 0 when everything succeeded.
"""

import argparse
import asyncio
import json
import logging
import sys
import time
from typing import Any

import aiohttp

from .app_proxy_client import AUTH_HEADER
from .logs import configure_logging
from .settings import Settings, read_settings

log = logging.getLogger(__name__)

TIMEOUT = aiohttp.ClientTimeout(total=30)
POLL_INTERVAL = 0.1
REQUEST_ID_HEADER = "X-Request-ID"


async def create_session(
    http: aiohttp.ClientSession, settings: Settings, headers: dict[str, str], wait: float
) -> dict[str, Any]:
    """Create a session; with `wait`, look for that many seconds whether it runs."""
    log.info("creating a session", extra=_log_fields(headers))
    async with http.post(f"{settings.manager_url}/sessions", headers=headers, json={}) as response:
        answer = await response.json(content_type=None)
        session_id = answer.get("session_id")
        result: dict[str, Any] = {
            "ok": response.status == 201,
            "statuses": [response.status],
            "response_request_id": response.headers.get("X-Backend-Request-ID"),
            "session_id": session_id,
        }
    if session_id is not None and wait > 0:
        result["session_status"] = await _wait_until_running(http, settings, session_id, wait)
        result["ok"] = result["session_status"] == "RUNNING"
    return result


async def upload_file(http: aiohttp.ClientSession, settings: Settings, headers: dict[str, str]) -> dict[str, Any]:
    """Ask the manager for an upload token, then send a small file to the storage-proxy."""
    content = b"hello from the client\n"
    params = {"folder": "demo", "path": "hello.txt", "size": len(content)}
    log.info("uploading %s", params["path"], extra=_log_fields(headers))
    async with http.post(f"{settings.manager_url}/folders/upload", headers=headers, json=params) as response:
        grant = await response.json(content_type=None)
        result: dict[str, Any] = {
            "ok": response.status == 200,
            "statuses": [response.status],
            "response_request_id": response.headers.get("X-Backend-Request-ID"),
        }
    if not result["ok"]:
        return result
    # The token allows this one upload; the client's own credentials are for the manager only.
    upload_headers = {name: value for name, value in headers.items() if name != AUTH_HEADER}
    async with http.put(
        grant["url"], params={"token": grant["token"]}, headers=upload_headers, data=content
    ) as response:
        result["statuses"].append(response.status)
        result["ok"] = response.status == 200
        result["upload_response_request_id"] = response.headers.get("X-Backend-Request-ID")
    return result


def _log_fields(headers: dict[str, str]) -> dict[str, str]:
    """What log lines about a request carry: the ID that it is sent with, as Backend.AI's own code logs it."""
    return {"request_id": headers[REQUEST_ID_HEADER]} if REQUEST_ID_HEADER in headers else {}


async def _wait_until_running(
    http: aiohttp.ClientSession, settings: Settings, session_id: str, seconds: float
) -> str | None:
    # Looking is no part of the request that made the session, so it does not carry that request's ID.
    url = f"{settings.manager_url}/sessions/{session_id}"
    deadline = time.monotonic() + seconds
    while True:
        async with http.get(url, headers={AUTH_HEADER: settings.api_token}) as response:
            status: str | None = (await response.json(content_type=None)).get("status")
        if status != "PREPARING" or time.monotonic() > deadline:
            return status
        await asyncio.sleep(POLL_INTERVAL)


async def _run(flow: str, request_id: str | None, wait: float, settings: Settings) -> dict[str, Any]:
    headers = {AUTH_HEADER: settings.api_token}
    if request_id is not None:
        headers[REQUEST_ID_HEADER] = request_id
    async with aiohttp.ClientSession(timeout=TIMEOUT) as http:
        try:
            if flow == "session":
                return await create_session(http, settings, headers, wait)
            return await upload_file(http, settings, headers)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return {"ok": False, "error": repr(error)}


def main(arguments: list[str] | None = None) -> int:
    """Run one flow; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m backendai_example.client", description=__doc__)
    parser.add_argument("flow", choices=["session", "upload"])
    parser.add_argument("--request-id", help="sent as X-Request-ID")
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="look whether the session runs (session only)"
    )
    options = parser.parse_args(arguments)
    settings = read_settings()
    configure_logging("client", settings.log_level, settings.log_format)
    result = asyncio.run(_run(options.flow, options.request_id, options.wait, settings))
    sys.stdout.write(json.dumps({"flow": options.flow, "request_id": options.request_id, **result}) + "\n")
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
