# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The judgement on what requests leave behind on a stack: a red case for every rule."""

from dataclasses import replace

import pytest

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_BGTASK_ID, ATTRIBUTE_REQUEST_ID
from tests.realstack.background_traces import judge

REQUEST = "request-1"


def span(service: str, name: str, **more: str) -> Span:
    """A span of the request."""
    own = {ATTRIBUTE_REQUEST_ID: REQUEST, **more}
    return Span("t1", name, "", name, "internal", 0, 1, f"backend.ai-{service}", attributes=own)


GOOD = [
    span("manager", "POST /folders"),
    span("storage", "clone_vfolder", **{ATTRIBUTE_BGTASK_ID: "task"}),
    span("storage", "publish bgtask_done"),
    span("storage", "publish vfolder_clone_success"),
    span("manager", "process vfolder_clone_success"),
]


def test_all_is_there() -> None:
    """No fault."""
    assert judge("26.9.6", "clone", REQUEST, GOOD) == []


@pytest.mark.parametrize("missing", range(1, len(GOOD)))
def test_a_part_is_missing(missing: int) -> None:
    """It is named, with its component."""
    rest = GOOD[:missing] + GOOD[missing + 1 :]
    (fault,) = judge("26.9.6", "clone", REQUEST, rest)
    assert GOOD[missing].service in fault


def test_two_traces() -> None:
    """Work under the request's ID in a trace of its own is not below the request."""
    assert judge("26.9.6", "clone", REQUEST, [*GOOD, replace(GOOD[2], trace_id="t2")]) == ["2 traces"]


def test_somebody_elses_span() -> None:
    """Another request's work in this trace."""
    other = replace(GOOD[2], attributes={ATTRIBUTE_REQUEST_ID: "request-2"})
    assert judge("26.9.6", "clone", REQUEST, [*GOOD, other]) == ["spans of request-2 in its trace"]


def test_nothing_arrived() -> None:
    """All parts are missing, and the trace."""
    assert len(judge("26.9.6", "clone", REQUEST, [])) == len(GOOD)


MADE = [
    span("manager", "POST /services"),
    span("manager", "session PENDING"),
    span("manager", "make replica"),
    span("agent", "create_kernels"),
    span("proxy-coordinator", "POST /v2/endpoints/bulk"),
]
ENDED = [
    span("manager", "DELETE /services/{service_id}"),
    span("manager", "unregister endpoint"),
    span("manager", "DELETE"),
    span("proxy-coordinator", "DELETE /v2/endpoints/bulk"),
    span("manager", "session TERMINATING"),
    span("agent", "destroy_kernel"),
]


@pytest.mark.parametrize(("title", "good"), [("service", MADE), ("service end", ENDED)])
def test_a_model_service_at_the_app_proxy(title: str, good: list[Span]) -> None:
    """Its endpoint is registered by the request that made it and taken off by the one that deleted it."""
    assert judge("26.9.6", title, REQUEST, good) == []
    for missing in range(1, len(good)):
        (fault,) = judge("26.9.6", title, REQUEST, good[:missing] + good[missing + 1 :])
        assert fault == f"no {good[missing].name} of {good[missing].service}"
    elsewhere = replace(good[4], attributes={ATTRIBUTE_REQUEST_ID: "of-a-timer"}, trace_id="t2")
    assert judge("26.9.6", title, REQUEST, [*good[:4], elsewhere, *good[5:]]) != []


def test_what_the_releases_differ_in() -> None:
    """One call for each endpoint up to 26.1; the coordinator of 23.09's stack is a stand-in that sends no spans."""
    old = [replace(one, name=one.name.replace("bulk", "{endpoint_id}")) for one in MADE]
    assert judge("25.15.12", "service", REQUEST, old) == []
    assert judge("25.15.12", "service", REQUEST, MADE) != []
    assert judge("23.9.10", "service end", REQUEST, [*ENDED[:3], *ENDED[4:]]) == []
