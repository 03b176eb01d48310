# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Deferred work: a session owns the context of the request that made it, and who acts on it later continues that.

A request leaves a row and a mark, and a scheduler on a timer, maybe in another process, picks up whatever is pending.
The context is kept under the session's ID, in this process (bounded) and in the cluster's Redis (with a time-out).
Work in nobody's context that is about exactly one known session runs in the session's; nothing here ever waits.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from opentelemetry import context as context_api
from opentelemetry.context import Context, create_key
from opentelemetry.trace import INVALID_SPAN, Link, SpanKind, get_current_span, set_span_in_context
from opentelemetry.util.types import AttributeValue

from otel_backendai.guard import Guard
from otel_backendai.hops.quiet_span import is_quiet, woken
from otel_backendai.hops.recent import Recent
from otel_backendai.hops.session_store import SessionStore
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import (
    ATTRIBUTE_SESSION_ID,
    SESSION_KEY_PREFIX,
    SETTING_SESSION_LIMIT,
    SETTING_SESSION_STORE,
    SETTING_SESSION_TTL,
)
from otel_backendai.patching import Hop
from otel_backendai.propagators.session_value import parse_session_value, render_session_value
from otel_backendai.request_id import is_acceptable

HOP = Hop("deferred")

# Seconds: work that comes later than this after the request is linked to its trace instead of stretching it.
MAX_AGE_OF_CHILD: Final = 3600.0
# How many sessions a process remembers, and how long Redis does, in seconds.
DEFAULT_LIMIT: Final = 10_000
DEFAULT_TTL: Final = 86_400

_SHARED = create_key("otel-backendai-shared-work")
_KEEP = Guard("deferred: keep")
_ANSWER = Guard("deferred: answer of the store")


@dataclass(slots=True)
class Kept:
    """What is known of a session: the request's context, its time, and the status that it is in since when."""

    context: Context
    at: float
    status: str | None = None
    since: float = 0.0


@dataclass(slots=True)
class _Asked:
    """A session that the store was asked about, and who waits for the answer."""

    at: float
    times: int = 1
    waiting: list[Callable[[Kept], None]] = field(default_factory=list)


# A context that nobody kept is asked for once more after this time, in seconds: the writer may have been behind us.
_ASK_AGAIN: Final = 5.0
_MAX_WAITING: Final = 16


def _number(setting: str, default: int) -> int:
    text = os.environ.get(setting, "").strip()
    return int(text) if text.isdecimal() and 0 < len(text) <= 9 else default


def is_store_wanted() -> bool:
    """Whether contexts are kept in Redis as well; not so with ``OTEL_BACKENDAI_SESSION_STORE=false``."""
    return os.environ.get(SETTING_SESSION_STORE, "").strip().lower() not in ("0", "false")


class Sessions:
    """The contexts of sessions that this process knows, and the way to those that others do.

    Args:
        limit: How many are remembered; beyond it those unused for the longest time go.
        ttl: Seconds that the store keeps them.
    """

    def __init__(self, limit: int, ttl: int) -> None:
        self.store: SessionStore | None = None
        self._ttl = ttl
        self._lock = Lock()
        self._kept: Recent[str, Kept] = Recent(limit)
        self._asked: Recent[str, _Asked] = Recent(limit)

    def expect(self) -> None:
        """Say that a session is about to be made, so that keeping its context does not begin with a connection."""
        with _KEEP:
            if self.store is not None:
                self.store.wake()

    def remember(self, session: str, context: Context, status: str | None = None) -> None:
        """Keep ``context`` as that of ``session``, in place of an older one: a later request's work continues *it*."""
        now = time.time()
        value = render_session_value(context, now)
        parsed = parse_session_value(value)
        if value is None or parsed is None:
            return
        with self._lock:
            before = self._kept.get(session)
            if status is None and before is not None:
                kept = Kept(parsed[0], now, before.status, before.since)
            else:
                kept = Kept(parsed[0], now, status, now)
            self._kept.put(session, kept)
        if self.store is not None:
            self.store.write(SESSION_KEY_PREFIX + session, value, self._ttl)

    def find(self, session: str) -> Kept | None:
        """What is kept for ``session`` in this process; if nothing, the store is asked for the next time."""
        with self._lock:
            kept = self._kept.get(session)
        if kept is None:
            self._ask(session)
        return kept

    def when_found(self, session: str, act: Callable[[Kept], None]) -> None:
        """Call ``act`` with what is kept for ``session``: now, or from another thread once the store has answered."""
        with self._lock:
            kept = self._kept.get(session)
        if kept is not None:
            act(kept)
        else:
            self._ask(session, act)

    def _ask(self, session: str, act: Callable[[Kept], None] | None = None) -> None:
        store, now = self.store, time.monotonic()
        if store is None:
            return
        with self._lock:
            asked = self._asked.get(session)
            is_due = asked is None
            if asked is None:
                asked = _Asked(now)
                self._asked.put(session, asked)
            elif asked.times == 1 and now - asked.at > _ASK_AGAIN:
                is_due, asked.times = True, 2
            if act is not None and len(asked.waiting) < _MAX_WAITING:
                asked.waiting.append(act)
        if is_due:
            store.read(SESSION_KEY_PREFIX + session, lambda value: self._answer(session, value))

    def _answer(self, session: str, value: object) -> None:
        with _ANSWER:
            parsed = parse_session_value(value)
            with self._lock:
                kept = self._kept.get(session)
                if kept is None and parsed is not None:
                    kept = Kept(*parsed)
                    self._kept.put(session, kept)
                asked = self._asked.get(session)
                waiting = list(asked.waiting) if asked is not None else []
                if asked is not None:
                    asked.waiting.clear()
            for act in waiting:
                if kept is not None:
                    act(kept)


sessions = Sessions(_number(SETTING_SESSION_LIMIT, DEFAULT_LIMIT), _number(SETTING_SESSION_TTL, DEFAULT_TTL))


def remember(session: object, status: str | None = None) -> None:
    """Keep the current context as that of ``session`` (an ID as text); anything else is left."""
    with _KEEP:
        if HOP.active and is_acceptable(session):
            sessions.remember(session, woken(context_api.get_current()), status)


def with_shared_work(context: Context) -> Context:
    """Return ``context``, marked: what runs in it may be work for many, so who names a session works for that one."""
    return context_api.set_value(_SHARED, True, context)


def is_shared(context: Context) -> bool:
    """Whether ``context`` was marked by :func:`with_shared_work`."""
    return context_api.get_value(_SHARED, context) is not None


def is_anyones(context: Context) -> bool:
    """Whether ``context`` is that of a timer or of marked work, and not that of a request which acts on a session."""
    return is_shared(context) or is_quiet(context)


def continued(context: Context, entities: Mapping[str, str]) -> tuple[Context, list[Link]]:
    """Return the context and the links with which something about ``entities`` starts in ``context``.

    Those of the session that ``entities`` name, if it is known and ``context`` is anyone's; else ``context``.
    """
    session = entities.get(ATTRIBUTE_SESSION_ID)
    if session is None or not HOP.active or not is_anyones(context):
        return context, []
    kept = sessions.find(session)
    return (context, []) if kept is None else context_of(kept)


def context_of(kept: Kept) -> tuple[Context, list[Link]]:
    """Return the context to act on a session in: below the request while that is young, later a linked root."""
    if time.time() - kept.at <= MAX_AGE_OF_CHILD:
        return kept.context, []
    request = get_current_span(kept.context).get_span_context()
    return set_span_in_context(INVALID_SPAN, kept.context), [Link(request)] if request.is_valid else []


def session_scope(name: str, session: str, attributes: Mapping[str, AttributeValue] | None = None) -> SpanScope:
    """Return the scope of work for one session: a span in its context; the current context when it is not known.

    Args:
        name: The span's name.
        session: The session's ID.
        attributes: Further attributes of the span.
    """
    current = context_api.get_current()
    entities = {ATTRIBUTE_SESSION_ID: session}
    context, links = continued(with_shared_work(current), entities)
    if is_shared(context):
        return SpanScope(None, name, SpanKind.INTERNAL, current)
    return SpanScope(HOP.tracer, name, SpanKind.INTERNAL, context, {**entities, **(attributes or {})}, links)
