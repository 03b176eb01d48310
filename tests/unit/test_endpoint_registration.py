# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The calls about a model service's endpoint that a timer makes: followed, but not without end."""

import uuid
from collections.abc import Iterator

import pytest
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.releases import endpoint_registration
from otel_backendai.releases.dwindling import LIMIT
from tests.conftest import Telemetry
from tests.unit.pending_session import Clock, moved_by_hand

TICK = 60
WEEK = 7 * 86_400


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The clock of everything; what was followed before is forgotten."""
    yield from moved_by_hand(monkeypatch, endpoint_registration.forget)


def made_endpoint(request: str) -> str:
    """An endpoint that a request has made."""
    endpoint = str(uuid.uuid4())
    with SpanScope(deferred.HOP.tracer, "POST /services", SpanKind.SERVER, request_id.bind(request, Context())):
        deferred.sessions.remember(endpoint, context_api.get_current())
    return endpoint


@endpoint_registration._calls("register endpoint", 0, lambda endpoints: endpoints)
async def register(endpoints: list[str]) -> None:
    """What the timer calls, and what fails."""
    raise ConnectionRefusedError("no coordinator")


def tick(*endpoints: str) -> None:
    """A run of the timer, which finds endpoints that are not registered."""
    context = deferred.with_shared_work(Context())
    with SpanScope(None, "", SpanKind.INTERNAL, context), pytest.raises(ConnectionRefusedError):
        register(list(endpoints)).__await__().__next__()


def followed(telemetry: Telemetry) -> list[ReadableSpan]:
    """The spans of the calls."""
    return [span for span in telemetry.of_kind(SpanKind.INTERNAL) if span.name == "register endpoint"]


def test_calls_that_fail_for_a_week_are_bounded(telemetry: Telemetry, clock: Clock) -> None:
    """A coordinator that is away does not fill the trace of who made the service."""
    endpoint = made_endpoint("request-1")
    for _ in range(WEEK // TICK):
        clock.now += TICK
        tick(endpoint)
    spans = followed(telemetry)
    assert LIMIT < len(spans) < LIMIT + 16
    assert not [span for span in spans if span.status.is_ok]


def test_a_later_request_is_followed_anew(telemetry: Telemetry, clock: Clock) -> None:
    """The bound is of one request's calls about one service: a later request has its own, as has another service."""
    endpoint = made_endpoint("request-1")
    for _ in range(1000):
        clock.now += TICK
        tick(endpoint)
    before = len(followed(telemetry))
    clock.now += TICK
    deferred.sessions.remember(endpoint, request_id.bind("request-2", Context()))
    tick(endpoint)
    tick(made_endpoint("request-3"))
    requests = [(span.attributes or {})["backendai.request.id"] for span in followed(telemetry)[before:]]
    assert requests == ["request-2", "request-3"]


def test_one_call_about_several_is_followed_while_one_of_them_is(telemetry: Telemetry, clock: Clock) -> None:
    """A new service is not without its span because old ones are registered by the same call."""
    old = made_endpoint("request-1")
    for _ in range(1000):
        clock.now += TICK
        tick(old)
    before = len(followed(telemetry))
    tick(old)
    assert len(followed(telemetry)) == before
    tick(old, made_endpoint("request-2"))
    assert len(followed(telemetry)[-1].links) == 2
