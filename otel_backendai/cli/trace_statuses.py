# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the statuses of a session say in a trace: where it is stuck and why, until now, and why it did not get on.

A span that names a status and no next one is what a scheduler said of a session that it left there; the time in a
status is a span when it ends, and names the next one (see ``releases/session_waits.py`` and ``session_statuses.py``).
The last of them says what the session is in now: of a status that has not ended there is no span.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
# A session stays here, or the rest of it is told in the trace of the request that ends it.
_CLOSED = frozenset({"RUNNING", "CANCELLED", "ERROR", "TERMINATING", "TERMINATED"})
# A scheduler says the same again when the session has waited twice as long, and at least a minute longer; a tick is
# less than that. In nanoseconds.
_MINUTE = 60 * 10**9
# Nobody repeats what any other status is: for so long is it believed.
_HOUR = 60 * _MINUTE


@dataclass(frozen=True, slots=True)
class _Open:
    """That a session has been where its last span leaves it since ``since_ns``, and until when that is believed."""

    since_ns: int
    until_ns: int


class Waits:
    """Which spans of an answer leave their sessions in a status that has not ended at ``now_ns``.

    Args:
        traces: The answer's traces; of one session there may be several.
        now_ns: Nanoseconds since the epoch.
    """

    def __init__(self, traces: Iterable[Sequence[Span]], now_ns: int) -> None:
        self._now = now_ns
        about: dict[str, list[Span]] = {}
        for span in (span for spans in traces for span in spans):
            session = _text(span, ATTRIBUTE_SESSION_ID)
            if session and _text(span, ATTRIBUTE_SESSION_STATUS):
                about.setdefault(session, []).append(span)
        lasts = map(_last_of, about.values())
        self._open = {_key(last): _Open(since_ns, until_ns) for last, since_ns, until_ns in lasts if until_ns}

    def is_open(self, span: Span) -> bool:
        """Whether the session is still where ``span`` leaves it, as far as it was heard of lately."""
        found = self._open.get(_key(span))
        return found is not None and self._now <= found.until_ns

    def end_ns(self, span: Span) -> int:
        """When ``span`` ends, nanoseconds since the epoch; now, if its session is still where it leaves it."""
        return max(self._now, span.end_ns) if self.is_open(span) else span.end_ns

    def text(self, span: Span) -> str:
        """What a person wants to know of the status that ``span`` is about, printable; "" if nothing."""
        status, following = _text(span, ATTRIBUTE_SESSION_STATUS), _text(span, ATTRIBUTE_SESSION_NEXT_STATUS)
        if not status:
            return ""
        reason = _text(span, ATTRIBUTE_SESSION_REASON)
        why = f": {reason}" if reason else ""
        found = self._open.get(_key(span))
        if following and found is None:
            return printable(f"then {following}{why}") if following in _ASTRAY else ""
        if found is None:
            return printable(f"{status}{why}")
        if following:
            # Why it got on is of no interest here either.
            why = why if following in _ASTRAY else ""
            lasting = "so far" if self.is_open(span) else "ago, and not heard of since"
            return printable(f"then {following}, {_time(self._now - found.since_ns)} {lasting}{why}")
        if self.is_open(span):
            return printable(f"still {status} after {_time(self._now - found.since_ns)}{why}")
        return printable(f"{status} when last heard of, {_time(self._now - span.end_ns)} ago{why}")


def _last_of(spans: Sequence[Span]) -> tuple[Span, int, int]:
    """The last word about one session: since when it is where that leaves it, and until when that is believed.

    These are nanoseconds since the epoch, the latter 0 where it came to its end.
    """
    passed = [span for span in spans if _text(span, ATTRIBUTE_SESSION_NEXT_STATUS)]
    said = [span for span in spans if not _text(span, ATTRIBUTE_SESSION_NEXT_STATUS)]
    if passed:
        left = max(span.end_ns for span in passed)
        said = [span for span in said if span.end_ns > left]
    if said:
        since, last = min(span.start_ns for span in said), max(said, key=lambda span: span.end_ns)
        return last, since, last.end_ns + max(_MINUTE, last.end_ns - since) + _MINUTE
    # Of two at one time, the one that closes it.
    last = max(passed, key=lambda span: (span.end_ns, _text(span, ATTRIBUTE_SESSION_NEXT_STATUS) in _CLOSED))
    is_closed = _text(last, ATTRIBUTE_SESSION_NEXT_STATUS) in _CLOSED
    return last, last.end_ns, 0 if is_closed else last.end_ns + _HOUR


def _key(span: Span) -> tuple[str, str]:
    return span.trace_id, span.span_id


def _text(span: Span, name: str) -> str:
    value = span.attributes.get(name)
    return value if isinstance(value, str) else ""


def _time(nanoseconds: int) -> str:
    seconds = nanoseconds / 10**9
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
