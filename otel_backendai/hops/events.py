# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Events: what is wrapped, and the context manager for those who receive one.

Sending over redis-py streams is wrapped here (``XADD`` of a message with the fields of a Backend.AI event); who reads
a message is the application's own affair, so the receiving side is a context manager, :class:`handling_event`, for
applications that use our API. Backend.AI's own producers and dispatchers are the release adapters'.
"""

import inspect
from collections.abc import Callable
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from otel_backendai.guard import Guard
from otel_backendai.hops.event_spans import HOP, MAX_AGE_OF_CHILD, Delivery, is_producing, producer_scope
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import EVENT_FIELD, EVENT_NAME, EVENT_RETRY_COUNT
from otel_backendai.propagators.event_metadata import is_event_message, with_event_field
from otel_backendai.propagators.w3c import field, text

__all__ = ["HOP", "MAX_AGE_OF_CHILD", "handling_event"]

_SEND = Guard("events: send")
_HANDLE = Guard("events: handle")


@HOP.wraps("redis.commands.core", "StreamCommands.xadd")
def _wrap_xadd(original: Callable[..., Any]) -> Callable[..., Any]:
    def xadd(self: Any, name: Any, fields: Any, *args: Any, **kwargs: Any) -> Any:
        if not HOP.active or not _is_new_event(fields):
            return original(self, name, fields, *args, **kwargs)
        if is_producing():
            return original(self, name, _with_field(fields), *args, **kwargs)
        scope = producer_scope(text(field(fields, EVENT_NAME)) or "event", name)
        with scope:
            result = original(self, name, _with_field(fields), *args, **kwargs)
            # The asynchronous client answers a coroutine; a pipeline answers itself and sends later.
            if inspect.iscoroutine(result):
                return scope.continued_by(result)
            return result

    return xadd


def _with_field(fields: Any) -> Any:
    with _SEND:
        return with_event_field(fields)
    return fields


def _is_new_event(fields: object) -> bool:
    with _SEND:
        # A message that carries a context already, or counts its deliveries, is queued again: its sender's span is the
        # one that counts, and who queues it is nobody's request.
        return (
            is_event_message(fields)
            and isinstance(fields, dict)
            and field(fields, EVENT_FIELD) is None
            and field(fields, EVENT_RETRY_COUNT) is None
        )
    return False


class handling_event:  # noqa: N801  # used as `with handling_event(...):`, like contextlib.suppress
    """``with handling_event("kernel_started", fields):`` around one call of one handler.

    The handler runs in the message's context (request ID, trace, baggage) and in nothing of the reader's. A fresh
    message continues its trace; one that is redelivered or older than four minutes starts a trace of its own, linked
    to it, under the same request ID. A message without a request ID gets a new one. Never across a ``yield``.

    Args:
        event: The event's name.
        carrier: The message's fields, or an application's metadata (text or bytes; anything hostile is ignored).
        message_id: The stream entry's ID (``1712345678901-0``), from which the age is read.
        stream: The stream's name.
        redelivered: True when the application knows that this is not the first delivery.
    """

    __slots__ = ("_scope",)

    def __init__(
        self,
        event: str,
        carrier: object,
        *,
        message_id: str | bytes | None = None,
        stream: str | bytes | None = None,
        redelivered: bool = False,
    ) -> None:
        self._scope = SpanScope(None, "", SpanKind.CONSUMER, Context())
        with _HANDLE:
            self._scope = Delivery(event, carrier, message_id, stream, redelivered).scope()

    def __enter__(self) -> None:
        self._scope.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._scope.__exit__(*error)
