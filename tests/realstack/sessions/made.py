# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the client tells of a session that it made and ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Made:
    """One session, from its creation to its end.

    Attributes:
        session: Its ID.
        created: The request ID under which it was created.
        destroyed: The one under which it was destroyed.
        posted_at: When the creation was asked for, seconds since the epoch.
        post_seconds: How long the answer took.
        running_at: When a poll first saw it RUNNING; ``terminated_at`` TERMINATED.
        destroyed_at: When its end was asked for, seconds since the epoch; 0 when that is not told.
        destroy_seconds: How long that answer took.
        seen: Each change of its status that a poll saw: the new status, when the last poll was asked that still saw
            another one (or the request made that was before all), and when the answer came that told of this one.
        names: What else components call it by: the IDs of its kernels and of their containers.
        failed: Steps of the app's start that failed, if one was asked for.
        kind: Which of ``drive_kinds.py``, if of any.
        restarted: The request ID under which it was restarted; "" if it was not.
        refused: What the API said, if it made no session.
        answered: What it said if it made one and failed nevertheless.
    """

    session: str
    created: str
    destroyed: str
    posted_at: float = 0.0
    post_seconds: float = 0.0
    running_at: float = 0.0
    terminated_at: float = 0.0
    destroyed_at: float = 0.0
    destroy_seconds: float = 0.0
    seen: Sequence[tuple[str, float, float]] = ()
    names: Sequence[str] = ()
    failed: Sequence[str] = ()
    kind: str = ""
    restarted: str = ""
    refused: str = ""
    answered: str = ""

    @property
    def requests(self) -> tuple[str, ...]:
        """The IDs of its requests; a batch job has none for its end."""
        return tuple(request for request in (self.created, self.restarted, self.destroyed) if request)

    @property
    def ending_from(self) -> float:
        """When its end had been answered, seconds since the epoch; 0 when that is not told."""
        return self.destroyed_at and self.destroyed_at + self.destroy_seconds

    @property
    def seconds(self) -> float:
        """From the creation's request to RUNNING, as the client saw it."""
        return self.running_at - self.posted_at


def made_of(told: Mapping[str, Any]) -> Made:
    """Read what ``drive_sessions.py`` tells of one session."""
    return Made(session=told["id"], **{name: value for name, value in told.items() if name != "id"})
