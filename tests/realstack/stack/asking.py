# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Requests by hand: no client of Backend.AI, no plugin, known request IDs."""

from collections.abc import Iterator
from typing import Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from otel_backendai.names import HEADER_REQUEST_ID
from tests.realstack.stack.control import client_environment
from tests.realstack.stack.settings import Stack

_TIMEOUT: Final = 10.0


def ask(url: str, request_id: str = "") -> int:
    """GET ``url``, under ``request_id`` if there is one; the status of the answer, whatever it is.

    Raises:
        OSError: Nobody answers.
    """
    request = Request(url, headers={HEADER_REQUEST_ID: request_id} if request_id else {})
    try:
        with urlopen(request, timeout=_TIMEOUT) as response:
            response.read()
            return int(response.status)
    except HTTPError as error:
        return error.code


def addresses(stack: Stack) -> Iterator[tuple[str, str]]:
    """The components of a stack that has been up and listen for HTTP, each with a base URL, some with several."""
    environment = client_environment(stack)
    yield "manager", environment["BACKEND_ENDPOINT"]
    if "REALSTACK_WEBSERVER" in environment:
        yield "webserver", environment["REALSTACK_WEBSERVER"]
    for line in (stack.directory / "probes").read_text().splitlines():
        component, port, *_paths = line.split()
        yield component, f"http://127.0.0.1:{port}"
