# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The span that noise runs under: not sampled, and replaced by a real one as soon as work below is worth a span.

Most runs of Backend.AI's timers find nothing to do. Such a run is current as a span that is not sampled, so that
what other instrumentations make below it (HTTP calls, upstream's own spans), here and at the other end of an HTTP call,
is not sampled either. A hop of ours that is no noise (an agent RPC, an event that says something) wakes it: then the
run's own span is started, with the time at which the run began.
"""

import secrets
import time
from collections.abc import Callable

from opentelemetry import context as context_api
from opentelemetry.context import Context, create_key
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

_QUIET = create_key("otel-backendai-quiet-span")


class QuietSpan(NonRecordingSpan):
    """Stands for a span that is not there yet.

    Args:
        start: Starts the span; called once at the most, with ``start_time`` in nanoseconds.
    """

    def __init__(self, start: Callable[..., Span]) -> None:
        # Never 0, which would be no trace at all: then what is below would begin one of its own.
        identifiers = secrets.randbits(128) | 1, secrets.randbits(64) | 1
        super().__init__(SpanContext(*identifiers, is_remote=False, trace_flags=TraceFlags(TraceFlags.DEFAULT)))
        self._start = start
        self._start_time = time.time_ns()
        self._span: Span | None = None
        self._ended = False

    @property
    def is_awake(self) -> bool:
        """Whether the real span was started."""
        return self._span is not None

    def wake(self) -> Span:
        """Return the real span, started now if it was not. Nothing, that is a new root, when the run is over."""
        if self._span is None:
            if self._ended:
                return INVALID_SPAN
            self._span = self._start(start_time=self._start_time)
        return self._span

    def end(self, end_time: int | None = None) -> None:
        """End the real span, if there is one."""
        self._ended = True
        if self._span is not None:
            self._span.end(end_time)


def with_quiet_span(span: QuietSpan, context: Context) -> Context:
    """Return ``context`` with ``span`` current, to be found below spans that others open in between, too."""
    return set_span_in_context(span, context_api.set_value(_QUIET, span, context))


def woken(context: Context) -> Context:
    """Return ``context`` with the real span of the noise that it belongs to, which this starts; else ``context``."""
    span = _quiet_span(context)
    return context if span is None else set_span_in_context(span.wake(), context)


def woken_already(context: Context) -> Context:
    """Return ``context`` with the real span of the noise that it belongs to, if that was started; else ``context``."""
    span = _quiet_span(context)
    return set_span_in_context(span.wake(), context) if span is not None and span.is_awake else context


def span_to_name(context: Context) -> Span:
    """Return the span that a log line of ``context`` belongs to: of noise the real one, none while there is none."""
    span = _quiet_span(context)
    if span is None:
        return get_current_span(context)
    return span.wake() if span.is_awake else INVALID_SPAN


def is_quiet(context: Context) -> bool:
    """Whether ``context`` is that of noise in which nothing of its own was worth a span: nobody's, in other words."""
    return _quiet_span(context) is not None


def real_span(span: Span, *, wake: bool = False) -> Span:
    """Return the real span behind ``span``: its own if it is awake, or is woken now; else ``span``.

    Args:
        span: Any.
        wake: Whether something is to be said of it that is worth a span.
    """
    return span.wake() if isinstance(span, QuietSpan) and (wake or span.is_awake) else span


def _quiet_span(context: Context) -> QuietSpan | None:
    span = context_api.get_value(_QUIET, context)
    # What is sampled below noise is work already.
    if not isinstance(span, QuietSpan) or get_current_span(context).get_span_context().trace_flags.sampled:
        return None
    return span
