# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A session that waits, and a clock that is moved by hand while it does."""

import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.releases import session_statuses


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        """In the place of ``time.time``."""
        return self.now


def moved_by_hand(monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]) -> Iterator[Clock]:
    """The clock of everything, as a fixture yields it; before and after it what was told is forgotten by ``forget``."""
    clock = Clock()
    monkeypatch.setattr(time, "time", clock.time)
    forget()
    yield clock
    forget()


def pending() -> str:
    """The ID of a session that a request has made."""
    session = str(uuid.uuid4())
    with SpanScope(deferred.HOP.tracer, "POST /session", SpanKind.SERVER, request_id.bind("request-1", Context())):
        session_statuses.created(session)
    return session
