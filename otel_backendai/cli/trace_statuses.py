# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the statuses of a session say in a trace: why it waits, until now if it still does, and why it did not get on.

A span that names a status and no next one is what a scheduler said of a session that it left there; the time in a
status is a span when it ends, and names the next one (see ``releases/session_waits.py`` and ``session_statuses.py``).
"""

from collections.abc import Iterable, Sequence

from otel_backendai.cli.terminal_text import printable
from otel_backendai.desk.model import Span
from otel_backendai.names import (
    ATTRIBUTE_SESSION_ID,
    ATTRIBUTE_SESSION_NEXT_STATUS,
    ATTRIBUTE_SESSION_REASON,
    ATTRIBUTE_SESSION_STATUS,
)

# Where a session goes that does not get on; why it got on is of no interest.
_ASTRAY = frozenset({"PENDING", "DEPRIORITIZING", "CANCELLED", "ERROR", "TERMINATING", "TERMINATED"})
# A scheduler says the same again when the session has waited twice as long, and at least a minute longer; a tick is
# less than that. In nanoseconds.
_MINUTE = 60 * 10**9


class Waits:
    """Which spans of an answer are about sessions that wait at ``now_ns``.

    Args:
        traces: The answer's traces; of one session there may be several.
        now_ns: Nanoseconds since the epoch.
    """

    def __init__(self, traces: Iterable[Sequence[Span]], now_ns: int) -> None:
        self._now = now_ns
        self._since: dict[str, int] = {}
        last: dict[str, Span] = {}
        left: dict[str, int] = {}
        for span in (span for spans in traces for span in spans):
            session, status = _text(span, ATTRIBUTE_SESSION_ID), _text(span, ATTRIBUTE_SESSION_STATUS)
            if not session or not status:
                continue
            if _text(span, ATTRIBUTE_SESSION_NEXT_STATUS):
                left[session] = max(span.end_ns, left.get(session, 0))
                continue
            self._since[session] = min(span.start_ns, self._since.get(session, span.start_ns))
            if session not in last or last[session].end_ns < span.end_ns:
                last[session] = span
        self._open = {
            (span.trace_id, span.span_id) for session, span in last.items() if left.get(session, 0) < span.end_ns
        }

    def is_open(self, span: Span) -> bool:
        """Whether the session that ``span`` is about still waits, as far as its scheduler was heard of lately."""
        return (span.trace_id, span.span_id) in self._open and self._is_fresh(span)

    def end_ns(self, span: Span) -> int:
        """When ``span`` ends, nanoseconds since the epoch; now, if its session still waits."""
        return max(self._now, span.end_ns) if self.is_open(span) else span.end_ns

    def text(self, span: Span) -> str:
        """What a person wants to know of the status that ``span`` is about, printable; "" if nothing."""
        status, following = _text(span, ATTRIBUTE_SESSION_STATUS), _text(span, ATTRIBUTE_SESSION_NEXT_STATUS)
        if not status:
            return ""
        reason = _text(span, ATTRIBUTE_SESSION_REASON)
        why = f": {reason}" if reason else ""
        if following:
            return printable(f"then {following}{why}") if following in _ASTRAY else ""
        if (span.trace_id, span.span_id) not in self._open:
            return printable(f"{status}{why}")
        if self.is_open(span):
            return printable(f"still {status} after {_time(self._now - self._waiting_since(span))}{why}")
        return printable(f"{status} when last heard of, {_time(self._now - span.end_ns)} ago{why}")

    def _waiting_since(self, span: Span) -> int:
        return self._since[_text(span, ATTRIBUTE_SESSION_ID)]

    def _is_fresh(self, span: Span) -> bool:
        waited = span.end_ns - self._waiting_since(span)
        return self._now - span.end_ns <= max(_MINUTE, waited) + _MINUTE


def _text(span: Span, name: str) -> str:
    value = span.attributes.get(name)
    return value if isinstance(value, str) else ""


def _time(nanoseconds: int) -> str:
    seconds = nanoseconds / 10**9
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
