# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Whose the replicas of a model service are, without a release: what is kept, and who takes what over."""

import uuid

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.background import run_scope
from otel_backendai.hops.event_spans import producer_scope
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_REQUEST_ID, ATTRIBUTE_ROUTE_ID
from otel_backendai.releases.endpoint_owner import changed, take_over
from tests.conftest import Telemetry


def request_scope(request: str) -> SpanScope:
    """What a request runs in."""
    return SpanScope(deferred.HOP.tracer, "POST /services", SpanKind.SERVER, request_id.bind(request, Context()))


def request_of(entity: str) -> str | None:
    """Whose an entity is."""
    kept = deferred.sessions.find(entity)
    return None if kept is None else request_id.read(kept.context)


def test_an_event_about_a_route_is_its_requests(telemetry: Telemetry) -> None:
    """A route has no session yet: the event that asks for one is sent in the context of the endpoint's request."""
    endpoint, route = str(uuid.uuid4()), str(uuid.uuid4())
    with request_scope("request-1"):
        changed(endpoint)
    with run_scope("tick", Context(), quiet=True):
        take_over(route, endpoint)
        with producer_scope("route_created", entities={ATTRIBUTE_ROUTE_ID: route}):
            pass
    request, event = telemetry.only(SpanKind.SERVER), telemetry.only(SpanKind.PRODUCER)
    assert request.context is not None
    assert (event.parent and event.parent.span_id) == request.context.span_id
    assert (event.attributes or {})[ATTRIBUTE_REQUEST_ID] == "request-1"


def test_only_requests_change_an_endpoint(telemetry: Telemetry) -> None:
    """What a timer does with one, or code that runs for nobody, leaves it with the request that it had."""
    endpoint = str(uuid.uuid4())
    with request_scope("request-1"):
        changed(endpoint)
    changed(endpoint)
    with run_scope("tick", Context(), quiet=True):
        changed(endpoint)
    with SpanScope(None, "", SpanKind.INTERNAL, deferred.with_shared_work(request_id.bind("request-2", Context()))):
        changed(endpoint)
    assert request_of(endpoint) == "request-1"


@pytest.mark.parametrize("hostile", [None, "a b", b"x", 7, "x" * 129, object()])
def test_what_is_no_id_is_left_alone(telemetry: Telemetry, hostile: object) -> None:
    """Nothing is kept, nothing is raised."""
    with request_scope("request-1"):
        changed(hostile)
        take_over(hostile, "endpoint")
        take_over("session", hostile)
    assert request_of("session") is None


def test_the_switched_off_hop_keeps_nothing() -> None:
    """Without it the adapters pass on."""
    with request_scope("request-1"):
        changed("endpoint")
    take_over("session", "endpoint")
    assert request_of("endpoint") is None
