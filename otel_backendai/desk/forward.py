# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A copy of every accepted export request for another OTLP/HTTP receiver: raw, in order, bounded, best effort."""

import asyncio
import email.utils
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from opentelemetry.instrumentation.utils import suppress_instrumentation

# A receiver that is down for a while is bridged; one that is gone must not fill the memory.
_MAX_QUEUED_REQUESTS = 1_000
_MAX_QUEUED_BYTES = 256 * 1024 * 1024
_RETRIES = 3
_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 30.0
_ANSWER_TIMEOUT = aiohttp.ClientTimeout(total=10)
# The retryable answers of the OTLP/HTTP specification.
_RETRYABLE = frozenset({429, 502, 503, 504})
_LONGEST_ERROR_TEXT = 200


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """An export request as it came: ``path`` like ``/v1/traces``, the encodings and the raw body."""

    path: str
    headers: dict[str, str]
    body: bytes


class Forwarder:
    """Posts export requests to ``base_url`` one after the other.

    ``forwarded`` counts what the receiver accepted, ``forward_errors`` what was given up (refused, or no room in the
    queue), ``last_error`` says why the last one was, ``on_first_error`` is told of the first. Belongs to one running
    event loop, from ``start`` to ``stop``.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._queue: deque[ExportRequest] = deque()
        self._queued_bytes = 0
        self._arrived = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._worker: asyncio.Task[None] | None = None
        self.forwarded = 0
        self.forward_errors = 0
        self.last_error = ""
        self.on_first_error: Callable[[str], None] | None = None

    def start(self) -> None:
        """Begin to post. Needs a running event loop."""
        # The desk may run beside instrumentation: spans about this traffic would come back as new traffic, for ever.
        with suppress_instrumentation():
            self._worker = asyncio.create_task(self._run())

    def offer(self, request: ExportRequest) -> None:
        """Queue ``request``, or count it as an error when there is no room. Never waits."""
        full = len(self._queue) >= _MAX_QUEUED_REQUESTS
        if full or self._queued_bytes + len(request.body) > _MAX_QUEUED_BYTES:
            self._give_up("the queue is full")
            return
        self._queue.append(request)
        self._queued_bytes += len(request.body)
        self._empty.clear()
        self._arrived.set()

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109  # it answers, it does not raise
        """Wait until all that was offered is posted or given up. Whether that came true within ``timeout`` seconds."""
        try:
            await asyncio.wait_for(self._empty.wait(), timeout)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Stop at once; what is still queued is lost, see ``drain``."""
        if self._worker is None:
            return
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
        self._worker = None

    async def run_beside(self, _: web.Application) -> AsyncIterator[None]:
        """Start and stop with an application: a cleanup context of aiohttp."""
        self.start()
        yield
        await self.stop()

    async def _run(self) -> None:
        # No redirects, no proxies of the environment: the copy goes to the named receiver or nowhere.
        async with aiohttp.ClientSession(timeout=_ANSWER_TIMEOUT, trust_env=False) as session:
            while True:
                await self._arrived.wait()
                while self._queue:
                    request = self._queue[0]
                    await self._post(session, request)
                    self._queue.popleft()
                    self._queued_bytes -= len(request.body)
                self._arrived.clear()
                self._empty.set()

    async def _post(self, session: aiohttp.ClientSession, request: ExportRequest) -> None:
        backoff, error = _FIRST_BACKOFF, ""
        for attempt in range(1 + _RETRIES):
            if attempt:
                await asyncio.sleep(min(backoff, _LONGEST_BACKOFF))
            backoff = _FIRST_BACKOFF * 2**attempt
            try:
                async with session.post(
                    self._base_url + request.path, data=request.body, headers=request.headers, allow_redirects=False
                ) as response:
                    if response.status < 300:
                        self.forwarded += 1
                        return
                    error = f"{request.path}: the receiver answered {response.status}"
                    if response.status not in _RETRYABLE:
                        break
                    backoff = _retry_after(response.headers.get("Retry-After", ""), backoff)
            except (TimeoutError, aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as failure:
                error = f"{request.path}: {str(failure) or type(failure).__name__}"
            except (aiohttp.ClientError, ValueError) as failure:
                error = f"{request.path}: {str(failure) or type(failure).__name__}"
                break
        self._give_up(error)

    def _give_up(self, error: str) -> None:
        self.forward_errors += 1
        self.last_error = error[:_LONGEST_ERROR_TEXT]
        if self.forward_errors == 1 and self.on_first_error is not None:
            self.on_first_error(self.last_error)


def _retry_after(text: str, default: float) -> float:
    """Seconds to wait by a Retry-After header, which holds seconds or a date; ``default`` when it holds neither."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return default
