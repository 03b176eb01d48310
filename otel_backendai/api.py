# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What applications call. Everything here works with and without the instrumentors, and without an SDK.

from otel_backendai.api import current_request_id, ensure_request_id, request_id_middleware
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from opentelemetry import context as context_api

from otel_backendai import request_id as _request_id
from otel_backendai.component import component
from otel_backendai.hops.background import ensure_request_id
from otel_backendai.hops.events import handling_event
from otel_backendai.hops.span_scope import with_request_id as _with_request_id
from otel_backendai.names import EVENT_SOURCE, EVENT_TIMESTAMP, HEADER_RESPONSE_REQUEST_ID, ORIGIN_HTTP, REQUEST_ID
from otel_backendai.propagators.event_metadata import extract_event as extract_event_metadata
from otel_backendai.propagators.event_metadata import inject_event_metadata
from otel_backendai.propagators.rpc_body import extract_rpc_body, inject_rpc_body
from otel_backendai.propagators.w3c import field

__all__ = [
    "EventMetadata",
    "bind_request_id",
    "current_request_id",
    "ensure_request_id",
    "extract_event_metadata",
    "extract_rpc_body",
    "handling_event",
    "inject_event_metadata",
    "inject_rpc_body",
    "new_request_id",
    "request_id_middleware",
]


def current_request_id() -> str | None:
    """Return the request ID of the request or background run that this code works for; ``None`` outside of any."""
    return _request_id.read()


def new_request_id() -> str:
    """Return a new request ID (UUID4, lower case) without binding it."""
    return _request_id.mint()


@contextmanager
def bind_request_id(request_id: str | None = None) -> Iterator[str]:
    """Bind ``request_id`` for a ``with`` block and yield what was bound.

    ``None`` or an ID that is not acceptable (1 to 128 characters of ``A-Z a-z 0-9 . _ : / + = @ -``) is replaced by a
    new one. Spans, log records and calls made inside carry it. Do not ``yield`` inside the block.
    """
    bound = request_id if _request_id.is_acceptable(request_id) else _request_id.mint()
    token = context_api.attach(_request_id.bind(bound))
    try:
        yield bound
    finally:
        context_api.detach(token)


async def request_id_middleware(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
    """An aiohttp middleware, for applications that run without the ``backendai_http_server`` instrumentor.

    Binds the inbound request ID, or a new one, around the handler and answers it in ``X-Backend-Request-ID``, also
    when the handler raises an ``HTTPException``. Where the request ID is bound already (the instrumentor is active)
    it only passes on. Streams and WebSockets that the handler prepares itself get the header from the instrumentor
    alone: no middleware sees them before their headers are sent.
    """
    from aiohttp import web

    from otel_backendai.hops.http_server import HOP

    if HOP.active:
        return await handler(request)

    from otel_backendai.hops.http_extraction import extract_request_headers

    context, _ = _with_request_id(extract_request_headers(request.headers), ORIGIN_HTTP)
    token = context_api.attach(context)
    answered: Any = None
    try:
        answered = await handler(request)
    except web.HTTPException as error:
        answered = error
        raise
    finally:
        context_api.detach(token)
        # A handler may answer what is no response; aiohttp says so itself.
        if isinstance(answered, web.StreamResponse) and not answered.prepared:
            answered.headers.setdefault(HEADER_RESPONSE_REQUEST_ID, _request_id.read(context) or "")
    return answered


# What `aiohttp.web.middleware` sets; importing aiohttp.web for it would cost every process 200 ms.
request_id_middleware.__middleware_version__ = 1  # type: ignore[attr-defined]  # that is how aiohttp marks them


@dataclass(frozen=True, slots=True)
class EventMetadata:
    """The metadata of an event: who sent it, when, and for which request.

    Attributes:
        request_id: The request ID, ``None`` when the sender had none.
        timestamp: When it was sent, timezone-aware; ``None`` when unknown.
        source: The component that sent it; ``None`` when unknown.
    """

    request_id: str | None
    timestamp: datetime | None
    source: str | None

    @classmethod
    def now(cls, source: str | None = None) -> Self:
        """Return the metadata of an event that is sent now, for the current request.

        Args:
            source: Default: the component that this process is.
        """
        return cls(current_request_id(), datetime.now(UTC), source or component())

    @classmethod
    def from_dict(cls, metadata: object) -> Self:
        """Return what ``metadata`` says; whatever is missing, of another type or not acceptable is ``None``."""
        if not isinstance(metadata, Mapping):
            return cls(None, None, None)
        value, source, timestamp = (field(metadata, name) for name in (REQUEST_ID, EVENT_SOURCE, EVENT_TIMESTAMP))
        return cls(
            value if _request_id.is_acceptable(value) else None,
            _parse_timestamp(timestamp),
            source if isinstance(source, str) else None,
        )

    def to_dict(self) -> dict[str, str]:
        """Return the fields that are known as text, with the W3C fields of the current trace."""
        fields: dict[str, str] = {}
        if self.request_id is not None:
            fields[REQUEST_ID] = self.request_id
        if self.timestamp is not None:
            fields[EVENT_TIMESTAMP] = self.timestamp.isoformat()
        if self.source is not None:
            fields[EVENT_SOURCE] = self.source
        return {name: str(value) for name, value in inject_event_metadata(fields).items()}


def _parse_timestamp(value: object) -> datetime | None:
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
