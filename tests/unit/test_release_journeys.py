# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The judgement of journeys: one in which all is well, and what turns it red."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_backendai.desk.model import AttributeValue, LogLine, Span
from otel_backendai.names import ATTRIBUTE_REQUEST_ID, LOG_REQUEST_ID
from tests.realstack.matrix.expectation_file import read_expectation
from tests.realstack.matrix.facts import Facts
from tests.realstack.matrix.judging import Cell, judge_journeys
from tests.realstack.matrix.observation import Expectation, Journey, Observation, Step
from tests.realstack.matrix.report import Column, markdown
from tests.realstack.stack.settings import RELEASES

ID, TRACE, OTHER_TRACE = "id-of-the-journey", "a" * 32, "b" * 32
APP_START = "app start"
HTTP: dict[str, AttributeValue] = {"http.request.method": "GET"}
EXPECTED = Expectation(
    journeys={APP_START: Journey([("client", "manager"), ("manager", "agent")], [("client", "worker")], program=True)}
)


def span(span_id: str, parent: str, component: str, kind: str, attributes: dict[str, AttributeValue]) -> Span:
    return Span(
        trace_id=TRACE,
        span_id=span_id,
        parent_span_id=parent,
        name=span_id,
        kind=kind,
        start_ns=0,
        end_ns=1,
        service=component if component == "client" else f"backend.ai-{component}",
        attributes={ATTRIBUTE_REQUEST_ID: ID, **attributes},
    )


def record(component: str, trace_id: str = TRACE, request_id: str = ID) -> LogLine:
    return LogLine(1, "INFO", "x", f"backend.ai-{component}", "access", trace_id, "s", {LOG_REQUEST_ID: request_id})


def step(title: str, arrived: list[str] | None = None, **changes: str) -> Step:
    good = Step(title, ID, TRACE, journey=APP_START, note={} if arrived is None else {"arrived": arrived})
    return dataclasses.replace(good, **changes)  # type: ignore[arg-type]  # texts, all of them


TAG = f"[request_id={ID} trace_id={TRACE}]"
GOOD = Observation(
    steps=[step("start-service"), step("app", ["X-Request-ID=of the user's own"])],
    spans=[
        span("journey", "", "client", "internal", {}),
        span("start-out", "journey", "client", "client", HTTP),
        span("start-in", "start-out", "manager", "server", HTTP | {"http.response.status_code": 200}),
        span("hung-up", "start-out", "manager", "server", HTTP),
        span("call-out", "start-in", "manager", "client", {}),
        span("call-in", "call-out", "agent", "server", {}),
        span("ws-out", "journey", "client", "client", HTTP),
        span("ws-in", "ws-out", "worker", "server", HTTP | {"http.response.status_code": 101}),
    ],
    logs=[record(component) for component in ("manager", "agent", "worker")],
    lines={
        "manager": ["started", f"INFO aiohttp.access POST {TAG}", "INFO aiohttp.access of another request"],
        "agent": [f"INFO rpc::start_service {TAG}"],
        "worker": ["INFO aiohttp.access of another request", f"INFO worker, of the journey {TAG}"],
    },
)

Change = Callable[[Observation], Observation]


def changed(span_id: str, **changes: object) -> Change:
    return lambda seen: dataclasses.replace(
        seen,
        spans=[
            dataclasses.replace(one, **changes) if one.span_id == span_id else one  # type: ignore[arg-type]  # a test's
            for one in seen.spans
        ],
    )


def without(span_id: str) -> Change:
    return lambda seen: dataclasses.replace(seen, spans=[one for one in seen.spans if one.span_id != span_id])


def with_steps(*steps: Step) -> Change:
    return lambda seen: dataclasses.replace(seen, steps=steps)


def with_record(extra: LogLine) -> Change:
    return lambda seen: dataclasses.replace(seen, logs=[*seen.logs, extra])


def with_lines(component: str, *lines: str) -> Change:
    return lambda seen: dataclasses.replace(seen, lines={**seen.lines, component: list(lines)})


def problems(seen: Observation) -> str:
    return "; ".join(judge_journeys(EXPECTED, seen)[APP_START].problems)


def test_a_journey_in_one_trace_under_one_request_id_is_green() -> None:
    """What the red cases below change is the only thing that turns it red."""
    assert judge_journeys(EXPECTED, GOOD) == {APP_START: Cell()}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (with_steps(), "the client went through it under 0 request IDs"),
        (with_steps(*GOOD.steps, step("x", request_id="another")), "the client went through it under 2 request IDs"),
        (with_steps(step("app", [], error="timed out")), "app: timed out"),
        (changed("call-in", trace_id=OTHER_TRACE), "agent: call-in is under its request ID in another trace"),
        (changed("call-in", trace_id=OTHER_TRACE), "manager -> agent: no call that kept request ID and trace"),
        (with_record(record("agent", OTHER_TRACE)), "agent: a record of access is under its request ID in another"),
        (changed("call-in", attributes={}), "agent: call-in is in its trace without its request ID"),
        (changed("call-in", attributes={}), "manager -> agent: no call that kept request ID and trace"),
        (with_record(record("agent", request_id="")), "agent: a record of access is in its trace without its request"),
        (without("call-out"), "agent: call-in has no parent that arrived"),
        (changed("start-in", parent_span_id=""), "manager: start-in has no parent that arrived"),
        (without("ws-in"), "client -> worker: no upgrade that kept request ID and trace"),
        (changed("ws-in", trace_id=OTHER_TRACE), "client -> worker: no upgrade that kept request ID and trace"),
        (lambda seen: dataclasses.replace(seen, logs=seen.logs[1:]), "manager: no log record at the receiver in its"),
        (with_lines("agent", "INFO rpc::start_service"), "agent: no line in its log file with its request ID"),
        (with_lines("agent", TAG, f"only {TRACE}"), "agent: a line in its log file names its trace without its"),
        (
            with_lines("manager", TAG, "INFO aiohttp.access POST"),
            "manager: 0 of 1 requests are in its access log with its request ID",
        ),
        (with_steps(step("start-service")), "no step reached the user's program"),
        (with_steps(step("app", [f"Traceparent=00-{TRACE}-1-01"])), "app: the user's program got Traceparent"),
        (with_steps(step("app", [f"X-Request-ID={ID}"])), "app: the user's program got X-Request-ID"),
    ],
)
def test_what_leaves_the_journey_turns_it_red(change: Change, sentence: str) -> None:
    """Each rule has a run that breaks it, and the sentence names the component or the step."""
    assert sentence in problems(change(GOOD))


def test_every_release_goes_through_both_journeys() -> None:
    """A journey that nothing was seen of is red in each family."""
    for family in RELEASES.iterdir():
        judged = judge_journeys(read_expectation(family / "hops.toml"), Observation([], []))
        assert set(judged) == {"folder upload", APP_START}, family
        assert all(cell.problems for cell in judged.values()), family


def test_a_mistake_in_a_journey_is_no_expectation(tmp_path: Path) -> None:
    """An unknown key would silently judge less."""
    path = tmp_path / "hops.toml"
    path.write_text('[journeys.upload]\ncals = ["client -> manager"]')
    with pytest.raises(ValueError, match="journey upload: cals is not known"):
        read_expectation(path)


def test_the_page_shows_journeys_beside_the_hops() -> None:
    """A red journey makes its release red, and its reason is on the page."""
    column = Column(Facts("26.9.6", "3.13.0", "1.39.1"), {}, journeys={APP_START: Cell(("agent: lost",))})
    assert not column.is_green
    page = markdown([column], "2026-11-23")
    assert "| app start | red |\n" in page
    assert "- **26.9.6, app start**: agent: lost\n" in page
