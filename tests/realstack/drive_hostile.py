#!/usr/bin/env python
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
One request whose X-BackendAI-RequestID holds a byte that is no text, by a socket of its
own: a client library would refuse to send it. The released client SDK signs it, and the
manager has to call each agent to answer it.

    python drive_hostile.py --report FILE [--seconds N]

FILE gets {status, seconds, request_ids, answer, error}, as JSON: the values of the
response's X-Backend-Request-ID, its body, and what went wrong ("" if nothing did).
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import socket
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import aiohttp
from ai.backend.client.request import Request
from ai.backend.client.session import AsyncSession

# Read by matrix/hostile.py, too: what must be found nowhere.
MARK = "hostile-request-id"
_VALUE = b"\xff" + MARK.encode() + b"\xff"
_PATH = "/admin/gql"
_QUERY = "{ agents { id status hardware_metadata } }"


class _SignedError(Exception):
    """Raised in the place of sending: the request as the SDK has signed it."""

    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        super().__init__()
        self.headers, self.body = headers, body


def _take(_session: object, _method: str, _url: str, *, headers: Any, data: bytes, **_: object) -> None:
    raise _SignedError(dict(headers), data)


async def _signed() -> _SignedError:
    async with AsyncSession():
        request = Request("POST", _PATH)
        request.set_json({"query": _QUERY, "variables": {}})
        try:
            with patch.object(aiohttp.ClientSession, "request", _take):
                async with request.fetch():
                    pass
        except _SignedError as signed:
            return signed
    raise AssertionError("the SDK has sent it")


def _send(signed: _SignedError, seconds: float) -> tuple[int, list[str], str]:
    place = urlsplit(os.environ["BACKEND_ENDPOINT"])
    names = {"host", "content-length", "connection"}
    headers = {name: value for name, value in signed.headers.items() if name.lower() not in names}
    headers |= {"Host": place.netloc, "Content-Length": str(len(signed.body)), "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection((place.hostname or "", place.port or 80), timeout=seconds) as connection:
        connection.sendall(
            f"POST {_PATH} HTTP/1.1\r\n{head}".encode()
            + b"X-BackendAI-RequestID: "
            + _VALUE
            + b"\r\n\r\n"
            + signed.body
        )
        response = http.client.HTTPResponse(connection, method="POST")
        response.begin()
        return response.status, response.headers.get_all("X-Backend-Request-ID", []), response.read().decode()


def _ask(seconds: float) -> dict[str, object]:
    signed = asyncio.run(_signed())
    begun = time.monotonic()
    try:
        status, request_ids, answer = _send(signed, seconds)
        error = ""
    except (OSError, http.client.HTTPException) as problem:
        status, request_ids, answer, error = 0, [], "", f"{type(problem).__name__}: {problem}"
    took = time.monotonic() - begun
    return {"status": status, "seconds": took, "request_ids": request_ids, "answer": answer, "error": error}


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--report", type=Path, required=True)
    options.add_argument("--seconds", type=float, default=20.0)
    arguments = options.parse_args()
    arguments.report.write_text(json.dumps(_ask(arguments.seconds)))
