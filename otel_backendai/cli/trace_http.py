# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Asking a source over HTTP: no proxies, no redirects, no telemetry about the question, one sentence per failure."""

import json
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from opentelemetry.instrumentation.utils import suppress_instrumentation
from yarl import URL

from otel_backendai.cli.endpoint_text import reason_of, shown_endpoint
from otel_backendai.cli.terminal_text import printable
from otel_backendai.cli.trace_source import SourceError

_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5)
_LONGEST_MESSAGE = 200
# Bytes of an answer without its compression: a trace of 100,000 spans has a fifth of it.
_LARGEST_ANSWER = 256 * 1024 * 1024
_PIECE = 65_536


class JSONClient:
    """GETs JSON below a base URL."""

    def __init__(self, session: aiohttp.ClientSession, endpoint: str) -> None:
        self._session = session
        self._base = URL(endpoint.rstrip("/"), encoded=False)
        self.shown = shown_endpoint(endpoint)

    async def get(self, path: str, parameters: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """Status and body of the answer to ``path``, which is encoded; the body is ``None`` when it is no JSON.

        Raises:
            SourceError: No answer came, or one that is too large.
        """
        url = URL(f"{self._base}{path}", encoded=True)
        try:
            async with self._session.get(url, params=parameters, allow_redirects=False) as response:
                return response.status, _parsed(await self._read(response))
        except aiohttp.ClientConnectorCertificateError as error:
            # A ClientConnectorError too, but without the `os_error` of one.
            raise SourceError(f"{self.shown} cannot be trusted: {error.certificate_error}") from error
        except aiohttp.ClientConnectorError as error:
            raise SourceError(f"{self.shown} cannot be reached: {reason_of(error.os_error)}") from error
        except TimeoutError as error:
            raise SourceError(f"{self.shown} does not answer") from error
        except RecursionError as error:
            raise SourceError(f"what {self.shown} answers is nested too deeply to be read") from error
        except (aiohttp.ClientError, ValueError) as error:
            told = printable(str(error))[:_LONGEST_MESSAGE] or type(error).__name__
            raise SourceError(f"{self.shown} does not answer as HTTP should: {told}") from error

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for piece in response.content.iter_chunked(_PIECE):
            body += piece
            if len(body) > _LARGEST_ANSWER:
                raise SourceError(f"{self.shown} answers with more than {_LARGEST_ANSWER >> 20} MiB")
        return bytes(body)

    def refused(self, path: str, status: int, message: object) -> SourceError:
        """The error for an answer that is none."""
        told = printable(message)[:_LONGEST_MESSAGE] if isinstance(message, str) else ""
        return SourceError(f"{self.shown} answered {status} to {path}{told and f': {told}'}")


@asynccontextmanager
async def http_session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session whose questions make no spans: they would come back as new traces."""
    with suppress_instrumentation():
        async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as session:
            yield session


def _parsed(body: bytes) -> Any:
    try:
        # NaN is no JSON, but a name that Python's parser knows; it must not be printed as a number.
        return json.loads(body, parse_constant=str, parse_float=_number)
    except ValueError:
        return None


def _number(text: str) -> float | str:
    # 1e999 is JSON, and infinite here, which no JSON can say again.
    number = float(text)
    return number if math.isfinite(number) else text
