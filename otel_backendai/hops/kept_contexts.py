# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Contexts of requests, each kept under the ID of what the request made, for who comes back to that later.

In this process (bounded) and in the cluster's Redis (with a time-out); nothing here ever waits.
"""

import time
from collections.abc import Callable
from threading import Lock

from opentelemetry.context import Context

from otel_backendai.guard import Guard
from otel_backendai.hops.context_listener import ContextListener
from otel_backendai.hops.context_store import Connect, ContextStore
from otel_backendai.hops.kept import Kept
from otel_backendai.hops.kept_questions import Act, Questions
from otel_backendai.hops.recent import Recent
from otel_backendai.propagators.kept_value import (
    parse_kept_others,
    parse_kept_status,
    parse_kept_value,
    render_kept_value,
)
from otel_backendai.request_id import is_acceptable

_EXPECT = Guard("kept contexts: expect")
_ANSWER = Guard("kept contexts: answer of the store")


class KeptContexts:
    """The contexts of one kind of things that this process knows, and the way to those that others do.

    Args:
        prefix: What stands before an ID in the store's keys.
        limit: How many are remembered; beyond it those unused for the longest time go.
        ttl: Seconds that the store keeps them.
        channel: Where other processes listen for new ones; ``None`` if nobody does.
        moment: Seconds within which two requests may have made the same thing, which then is of both; ``None``: a
            later request's takes the place of an older one, always.
    """

    def __init__(
        self, prefix: str, limit: int, ttl: int, channel: str | None = None, *, moment: float | None = None
    ) -> None:
        self.store: ContextStore | None = None
        self.listener: ContextListener | None = None
        self._prefix = prefix
        self._ttl = ttl
        self._channel = channel
        self._moment = moment
        self._lock = Lock()
        self._kept: Recent[str, Kept] = Recent(limit)
        self._questions = Questions(limit)

    def use_store(self, connect: Connect, store: ContextStore, *, is_wanted: Callable[[], bool], listen: bool) -> None:
        """Keep them in Redis as well.

        Args:
            connect: Makes a redis-py client for a listener.
            store: Where they are left.
            is_wanted: Whether to go on listening, asked now and then.
            listen: Whether this process acts on what others make before it would ask about it.
        """
        self.store = store
        if listen and self._channel is not None:
            self.listener = self.listener or ContextListener(connect, self._channel, self.hear, is_wanted)
            self.listener.start()

    def hear(self, message: object) -> None:
        """Keep what another process has told: ID, blank, value."""
        text = message.decode("ascii", "replace") if isinstance(message, bytes) else ""
        identifier, _, value = text.partition(" ")
        if is_acceptable(identifier):
            self.learn(identifier, value, told=True)

    def expect(self) -> None:
        """Say that something is about to be kept, so that keeping it does not begin with a connection."""
        with _EXPECT:
            if self.store is not None:
                self.store.wake()

    def remember(self, identifier: str, context: Context, status: str | None = None) -> None:
        """Keep ``context`` as that of a thing, in place of an older one: a later request's work continues *it*.

        Args:
            identifier: The thing's ID.
            context: That of the request; not kept when it has neither request ID nor trace.
            status: Of a session, what it is in from now on; ``None`` leaves what was known.
        """
        now = time.time()
        with self._lock:
            before = self._kept.get(identifier)
            if status is None and before is not None:
                kept = Kept(Context(), now, before.status, before.since)
            else:
                kept = Kept(Context(), now, status, now)
            parsed = parse_kept_value(render_kept_value(context, now, kept.status))
            if parsed is None:
                return
            kept.context, kept.at = parsed
            self._add_others(kept, before)
            value = render_kept_value(context, now, kept.status, kept.others)
            if value is None:
                return
            self._kept.put(identifier, kept)
        if self.store is not None:
            # Who listens is in a hurry; who reads comes later.
            if self._channel is not None:
                self.store.tell(self._channel, f"{identifier} {value}")
            self.store.write(self._prefix + identifier, value, self._ttl)

    def tell_status(self, identifier: str, kept: Kept) -> None:
        """Tell other processes what this one has changed the status of a thing to; it is left nowhere."""
        value = render_kept_value(kept.context, kept.at, kept.status, since=kept.since)
        if value is not None and self.store is not None and self._channel is not None:
            self.store.tell(self._channel, f"{identifier} {value}")

    def known(self, identifier: str) -> Kept | None:
        """What is kept in this process; the store is not asked."""
        with self._lock:
            return self._kept.get(identifier)

    def known_by_now(self, identifier: str) -> Kept | None:
        """What is kept in this process, what others have told it up to now included."""
        kept = self.known(identifier)
        if kept is None and self.listener is not None:
            self.listener.catch_up()
            kept = self.known(identifier)
        return kept

    def find(self, identifier: str) -> Kept | None:
        """What is kept in this process; if nothing, the store is asked for the next time."""
        kept = self.known(identifier)
        if kept is None:
            self._ask(identifier)
        return kept

    def when_found(self, identifier: str, act: Act) -> None:
        """Call ``act`` with what is kept: now, or from another thread once the store has answered."""
        kept = self.known(identifier)
        if kept is not None:
            act(kept)
        else:
            self._ask(identifier, act)

    def learn(self, identifier: str, value: object, *, told: bool = False) -> Kept | None:
        """Keep what another process has written, unless this one knows something later.

        Args:
            identifier: The thing's ID.
            value: Of the store; what is not well-formed is as nothing.
            told: Whether it is being told just now, so that its status is true.

        Returns:
            What is kept now, if anything.
        """
        parsed = parse_kept_value(value)
        with self._lock:
            before = kept = self._kept.get(identifier)
            is_of_several = False
            if parsed is not None:
                context, at = parsed
                status, since = (told and parse_kept_status(value)) or (None, at)
                found = Kept(context, at, status, since, parse_kept_others(value) if self._moment is not None else ())
                if before is None or at > before.at:
                    if before is not None and status in (None, before.status):
                        # A later request about a thing whose status is known here.
                        found.status, found.since = before.status, before.since
                    kept = found
                    is_of_several = self._add_others(found, before)
                    self._kept.put(identifier, found)
                else:
                    if status is not None and at == before.at and since > before.since:
                        before.status, before.since = status, since
                    is_of_several = self._add_others(before, found)
        if is_of_several and told and kept is not None and self.store is not None:
            # Two that told of it at once have left the later one alone there.
            text = render_kept_value(kept.context, kept.at, kept.status, kept.others)
            if text is not None:
                self.store.write(self._prefix + identifier, text, self._ttl)
        if kept is not None:
            for act in self._questions.end(identifier):
                act(kept)
        return kept

    def _add_others(self, kept: Kept, other: Kept | None) -> bool:
        """Make ``kept`` a thing of the requests of ``other``, too, if both were made in one moment; whether it is."""
        if self._moment is None or other is None or abs(kept.at - other.at) > self._moment:
            return False
        return kept.add(other.contexts)

    def _ask(self, identifier: str, act: Act | None = None) -> None:
        store = self.store
        if store is None or not self._questions.begin(identifier, act):
            return
        if not store.read(self._prefix + identifier, lambda value: self._answer(identifier, value)):
            self._questions.forget(identifier)

    def _answer(self, identifier: str, value: object) -> None:
        with _ANSWER:
            if self.learn(identifier, value) is None:
                self._questions.end(identifier)
