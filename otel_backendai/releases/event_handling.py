# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the ``EventDispatcher`` of every release has in common: from a message that arrived to the handler that runs.

Three steps, in one task or in tasks that it makes: :func:`arrived` notes the message, :class:`handling` stands around
the dispatcher's work for one handler (reports, coalescing, its error log) and gives it the message's context, and
:func:`wrap_rate_control` opens the CONSUMER span once coalescing has said that the handler runs.
"""

import functools
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from typing import Any
from weakref import WeakKeyDictionary

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops.event_spans import HOP, Delivery
from otel_backendai.hops.noise import is_noise_event
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.propagators.w3c import text
from otel_backendai.releases import kernels, session_statuses
from otel_backendai.releases.entities import event_entities
from otel_backendai.releases.event_sending import event_name

_HANDLE = Guard("events: handle")

# Backend.AI coalesces at most 32 messages into one call.
MAX_COALESCED = 64

_DELIVERY: ContextVar[Delivery | None] = ContextVar("otel_backendai_delivery", default=None)
_HANDLING: ContextVar["handling | None"] = ContextVar("otel_backendai_handling", default=None)

# Messages whose handler has not run yet, by registered handler.
_waiting: WeakKeyDictionary[Any, deque[Delivery]] = WeakKeyDictionary()


def arrived(event: object, carrier: object, message_id: object = None, stream: object = None) -> None:
    """Note the message that the current task hands to handlers next; tasks made from here on see it.

    Args:
        event: The event's name, text or bytes.
        carrier: The message's fields; ``None`` when the reader has nothing.
        message_id: The stream entry's ID, if known here.
        stream: The stream's name, if known here.
    """
    with _HANDLE:
        _DELIVERY.set(None if carrier is None else Delivery(text(event) or "event", carrier, message_id, stream))


class handling:  # noqa: N801  # used as `with handling(...):`, like contextlib.suppress
    """``with handling(...):`` around the dispatcher's whole work for one handler.

    Args:
        handler: The dispatcher's ``EventHandler``.
        decode: Returns the event object; asked only for a span that is recorded.
    """

    __slots__ = ("_consumer", "_decode", "_delivery", "_handler", "_outer", "_shared", "_token")

    def __init__(
        self, handler: Any, decode: Callable[[], object], message_id: object = None, stream: object = None
    ) -> None:
        self._handler = handler
        self._decode = decode
        self._consumer: SpanScope | None = None
        self._delivery = _DELIVERY.get() or Delivery(event_name(handler.event_cls), {})
        self._outer = SpanScope(None, "", SpanKind.CONSUMER, self._delivery.context)
        self._token: Token[handling | None] | None = None
        self._shared: Context | None = None

    def __enter__(self) -> None:
        self._outer.__enter__()
        self._token = _HANDLING.set(self)
        with _HANDLE:
            if getattr(self._handler, "coalescing_opts", None):
                _waiting.setdefault(self._handler, deque(maxlen=MAX_COALESCED)).append(self._delivery)

    def begin(self) -> None:
        """The handler runs now: open its span, once. It stays open until the dispatcher has reported and logged."""
        if self._consumer is not None:
            return
        with _HANDLE:
            delivery = self._delivery
            waited = _waiting.pop(self._handler, ())
            coalesced = [one for one in waited if one is not delivery]
            self._consumer = delivery.scope({} if is_noise_event(delivery.event) else self._entities(), coalesced)
        if self._consumer is not None:
            self._consumer.__enter__()
            with _HANDLE:
                context = context_api.get_current()
                if request_id.read(context) != request_id.read(self._delivery.context):
                    self._shared = context

    def within(self, applied: AbstractContextManager[None]) -> AbstractContextManager[None]:
        """Return ``applied``, which binds the message's request ID; inside it, ours where the span has another one."""
        return applied if self._shared is None else _Within(applied, self._shared)

    def _entities(self) -> dict[str, str]:
        try:
            event = self._decode()
        except Exception:
            # A body that this release cannot read is the dispatcher's to report.
            return {}
        session_statuses.arrived(self._delivery.event, event)
        return kernels.with_session(event_entities(event))

    def __exit__(self, *error: Any) -> None:
        if self._consumer is not None:
            self._consumer.__exit__(*error)
        with _HANDLE:
            if self._token is not None:
                _HANDLING.reset(self._token)
        self._outer.__exit__(*error)


def wrap_rate_control(original: Callable[..., Awaitable[bool]]) -> Callable[..., Awaitable[bool]]:
    """A factory for ``CoalescingState.rate_control``, which every dispatcher asks right before it calls a handler."""

    @functools.wraps(original)
    async def rate_control(self: Any, *args: Any, **kwargs: Any) -> bool:
        runs = await original(self, *args, **kwargs)
        current = _HANDLING.get()
        if runs and current is not None and HOP.active:
            current.begin()
        return runs

    return rate_control


class _Within(AbstractContextManager[None]):
    """A context manager of the application, and a context of ours inside of it."""

    def __init__(self, applied: AbstractContextManager[None], context: Context) -> None:
        self._applied = applied
        self._context = context
        self._inside: Token[Context] | None = None

    def __enter__(self) -> None:
        self._applied.__enter__()
        with _HANDLE:
            self._inside = context_api.attach(self._context)

    def __exit__(self, *error: Any) -> bool | None:
        with _HANDLE:
            if self._inside is not None:
                context_api.detach(self._inside)
        return self._applied.__exit__(*error)


@HOP.wraps("ai.backend.common.message_queue.types", "MessageMetadata.apply_context")
def _wrap_apply_context(
    original: Callable[[Any], AbstractContextManager[None]],
) -> Callable[[Any], AbstractContextManager[None]]:
    # Right before the handler; it would put a call for several requests under the last one's ID again.
    @functools.wraps(original)
    def apply_context(self: Any) -> AbstractContextManager[None]:
        applied = original(self)
        current = _HANDLING.get()
        return applied if current is None or not HOP.active else current.within(applied)

    return apply_context
