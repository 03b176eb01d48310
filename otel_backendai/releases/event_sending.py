# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the ``EventProducer`` of every release has in common: one PRODUCER span per event that is sent."""

import functools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops.event_spans import HOP, is_producing, producer_scope, sharing_scope
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.releases import kernels, session_statuses
from otel_backendai.releases.entities import event_entities

_SEND = Guard("events: send")

# The contexts of a batch's events, in their order, while the batch is being built.
_BATCH: ContextVar[Iterator[Context] | None] = ContextVar("otel_backendai_event_batch", default=None)

Coroutine = Callable[..., Awaitable[Any]]


def sends(position: int, stream_of: Callable[[Any], object]) -> Callable[[Coroutine], Coroutine]:
    """Return a factory for a method that sends one event.

    Args:
        position: Where the event stands among the positional arguments, without ``self``; by keyword it is ``event``.
        stream_of: Answers the name of the stream or channel, from the producer.
    """

    def wrap(original: Coroutine) -> Coroutine:
        @functools.wraps(original)
        async def send(self: Any, *args: Any, **kwargs: Any) -> Any:
            scope = None
            with _SEND:
                scope = _scope_of(self, args[position] if len(args) > position else kwargs["event"], stream_of)
            if scope is None:
                return await original(self, *args, **kwargs)
            with scope:
                return await original(self, *args, **kwargs)

        return send

    return wrap


def sends_batch(stream_of: Callable[[Any], object]) -> Callable[[Coroutine], Coroutine]:
    """Return a factory for a method that sends several events at once: a span for each, all open until it returns."""

    def wrap(original: Coroutine) -> Coroutine:
        @functools.wraps(original)
        async def send(self: Any, events: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
            batch: _Batch | None = None
            with _SEND:
                if HOP.active and not is_producing() and not getattr(self, "_closed", False):
                    batch = _Batch()
                    with batch.shared:
                        batch.scopes = [_scope_of(self, event, stream_of) for event in events]
            if batch is None:
                return await original(self, events, *args, **kwargs)
            with batch:
                return await original(self, events, *args, **kwargs)

        return send

    return wrap


def shares_request_id(original: Coroutine) -> Coroutine:
    """A factory for a method that sends several events through its siblings: one request ID for all of them."""

    @functools.wraps(original)
    async def send(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not HOP.active or request_id.read() is not None:
            return await original(self, *args, **kwargs)
        with sharing_scope():
            return await original(self, *args, **kwargs)

    return send


def sent_context() -> Context | None:
    """Return the context that the message which is being built carries; ``None`` when it is not ours to fill in."""
    batch = _BATCH.get()
    if batch is not None:
        return next(batch, None)
    return context_api.get_current() if is_producing() else None


def _scope_of(producer: Any, event: Any, stream_of: Callable[[Any], object]) -> SpanScope | None:
    if not HOP.active or is_producing() or getattr(producer, "_closed", False):
        return None
    name = event_name(event)
    # In the context of who sends it, which decides whose the session is from here on.
    session_statuses.sent(name, event)
    return producer_scope(name, stream_of(producer), kernels.with_session(event_entities(event)))


def event_name(event: Any) -> str:
    """Return the name of an event or of its class: a class method from 25.8 on, a class attribute before."""
    name: Any = getattr(event, "event_name", None)
    # Background tasks' events of 24.09 to 25.7 have another method of this name, of their instances.
    return str(name() if isinstance(getattr(name, "__self__", None), type) else event.name)


class _Batch:
    """The scopes of one batch, under one request ID: opened before it is built, closed when it is sent."""

    def __init__(self) -> None:
        self.shared = sharing_scope()
        self.scopes: list[SpanScope | None] = []

    def __enter__(self) -> None:
        contexts: list[Context] = []
        self.shared.__enter__()
        for scope in self.scopes:
            if scope is not None:
                with scope:
                    scope.keep_open()
                    contexts.append(context_api.get_current())
        self._token = _BATCH.set(iter(contexts))

    def __exit__(self, *error: Any) -> None:
        _BATCH.reset(self._token)
        for scope in self.scopes:
            if scope is not None:
                scope.__enter__()
                scope.__exit__(*error)
        self.shared.__exit__(*error)
