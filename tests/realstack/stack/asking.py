# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""One request by hand: no client of Backend.AI, no plugin, a known request ID."""

from typing import Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from otel_backendai.names import HEADER_REQUEST_ID

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
