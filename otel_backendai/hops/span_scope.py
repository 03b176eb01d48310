# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A span around one call: opened and closed under the guard, never across a ``yield``."""

from collections.abc import Coroutine, Mapping, Sequence
from contextvars import Token
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    SpanKind,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from otel_backendai import request_id
from otel_backendai.component import component
from otel_backendai.counters import count_minted
from otel_backendai.guard import Guard
from otel_backendai.hops.quiet_span import QuietSpan, real_span, with_quiet_span, woken
from otel_backendai.hops.span_errors import record_error
from otel_backendai.names import ATTRIBUTE_ORIGIN_COMPONENT, ATTRIBUTE_ORIGIN_DETAIL, ATTRIBUTE_REQUEST_ID

T = TypeVar("T")

_OPEN = Guard("span scope: open")
_CLOSE = Guard("span scope: close")


def with_request_id(context: Context, detail: str) -> tuple[Context, dict[str, AttributeValue]]:
    """Return ``context`` with a request ID, and the attributes that say who minted it (none when it brought one).

    Args:
        context: What was extracted; never the ambient context of a server loop.
        detail: Where a new ID comes from: ``http``, ``rpc``, ``event`` or ``background``.
    """
    if request_id.read(context) is not None:
        return context, {}
    count_minted(detail)
    origin: dict[str, AttributeValue] = {ATTRIBUTE_ORIGIN_DETAIL: detail}
    name = component()
    if name:
        origin[ATTRIBUTE_ORIGIN_COMPONENT] = name
    return request_id.bind(request_id.mint(), context), origin


class SpanScope:
    """``with SpanScope(...) as scope:`` around the application's call; its exceptions pass unchanged.

    The span is started with ``context`` given explicitly and both are attached as one, so that processors, samplers
    and the call see the same baggage for the price of one attach.

    Args:
        tracer: Where the span comes from; ``None`` attaches ``context`` and opens no span (noise).
        name: The span's name.
        kind: The span's kind.
        context: The complete context to run in: it replaces the ambient one.
        attributes: Attributes at creation, which samplers see.
        links: Links at creation.
        quiet: For noise that begins work (a timer's run, a health request): no span of its own unless work below it
            is worth one or it fails, see :class:`QuietSpan`. Below a sampled parent only if it fails.
    """

    __slots__ = ("_context", "_failed", "_kept_open", "_start", "_token", "span")

    def __init__(
        self,
        tracer: Tracer | None,
        name: str,
        kind: SpanKind,
        context: Context,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[Link] = (),
        *,
        quiet: bool = False,
    ) -> None:
        self._start = None if tracer is None else (tracer, name, kind, attributes, links, quiet)
        self._context = context
        self._token: Token[Context] | None = None
        self._failed = False
        self._kept_open = False
        self.span: Span = INVALID_SPAN

    def __enter__(self) -> Self:
        with _OPEN:
            if self._start is not None:
                tracer, name, kind, attributes, links, quiet = self._start
                self._start = None
                value = request_id.read(self._context)
                if value is not None:
                    # At creation, so that samplers see it; a span processor can only come later.
                    attributes = {**(attributes or {}), ATTRIBUTE_REQUEST_ID: value}
                if not quiet:
                    self._context = woken(self._context)
                    self.span = tracer.start_span(name, self._context, kind, attributes, links)
                    self._context = set_span_in_context(self.span, self._context)
                elif get_current_span(self._context).get_span_context().trace_flags.sampled:
                    # What is below belongs to the span above; only a failure of its own wakes this one.
                    self.span = QuietSpan(partial(tracer.start_span, name, self._context, kind, attributes, links))
                else:
                    # A root once it wakes: a sender's decision against spans was made about noise, too.
                    root = set_span_in_context(INVALID_SPAN, self._context)
                    self.span = QuietSpan(partial(tracer.start_span, name, root, kind, attributes, links))
                    self._context = with_quiet_span(self.span, self._context)
        with _OPEN:
            self._token = context_api.attach(self._context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _CLOSE:
            # Only while it is still ours: an application may have left a context of its own attached, and a generator
            # that is closed elsewhere must not restore ours there.
            if self._token is not None and context_api.get_current() is self._context:
                context_api.detach(self._token)
        if isinstance(error, Exception):
            self.fail(error)
        elif error is None and self._kept_open:
            self._kept_open = False
            return
        with _CLOSE:
            self.span.end()

    def keep_open(self) -> None:
        """Leave the span open at the end of this ``with`` block, unless it ends by an exception.

        For a call that goes on later (a coroutine handed out, a generator between two steps): enter the scope again
        then. So it is never current while somebody else runs.
        """
        self._kept_open = True

    def continued_by(self, coroutine: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Return a coroutine that awaits ``coroutine`` in this scope, which stays open for it after this block.

        One that ends before its first step (its task is cancelled at once) leaves no span: nothing was done.
        """
        self._kept_open = True
        return _continue(self, coroutine, _NotBegun(self, coroutine))

    def forget(self) -> None:
        """Never end the span, so that nobody hears of it: for what turns out to be nothing, with nothing below it."""
        self.span = INVALID_SPAN

    def excuse(self) -> None:
        """Take what this block ends by for no failure, or for one that :meth:`fail` has been told of."""
        self._failed = True

    def fail(self, error: Exception, error_type: str | None = None, message: str | None = None) -> None:
        """Mark the span as failed by ``error``, once. Cancellation never gets here: it is no ``Exception``, no failure.

        Args:
            error: What the application raised.
            error_type: The value of ``error.type`` if a better one is known than the exception's class.
            message: What to say instead of the exception's own text, if there is something better.
        """
        if self._failed:
            return
        self._failed = True
        with _CLOSE:
            record_error(real_span(self.span, wake=True), error, error_type, message)


class _NotBegun:
    """Closes a coroutine that nobody can await any more: Python would say that nobody ever did."""

    __slots__ = ("_coroutine", "_scope")

    def __init__(self, scope: SpanScope, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._scope = scope
        self._coroutine: Coroutine[Any, Any, Any] | None = coroutine

    def begin(self) -> None:
        self._coroutine = None

    def __del__(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()
            self._scope.forget()


async def _continue(scope: SpanScope, coroutine: Coroutine[Any, Any, T], state: _NotBegun) -> T:
    state.begin()
    with scope:
        return await coroutine
