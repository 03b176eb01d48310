# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The judgement of a hostile request ID behind `make test-releases`."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from otel_backendai.desk.model import AttributeValue, LogLine, Span
from tests.realstack.matrix.hostile import MARK, Answer, hostile_problems
from tests.realstack.matrix.observation import Observation

ID, TRACE = "8c4f8a52-96c4-4c55-a6ef-6c6f4f9f7d7e", "a" * 32
AGENTS = '{"data": {"agents": [{"id": "i-agent", "hardware_metadata": "{}"}]}}'
GOOD = Answer(200, 0.2, [ID], AGENTS)


def span(component: str, **attributes: AttributeValue) -> Span:
    named = {name.replace("_", "."): value for name, value in attributes.items()}
    attributes = {"backendai.request.id": ID, **named}
    return Span(TRACE, component, "", "call", "server", 0, 1, f"backend.ai-{component}", attributes=attributes)


MANAGER = span("manager", http_request_method="POST", backendai_request_origin_detail="http")
AGENT = span("agent", rpc_system_name="callosum")
SEEN = Observation([], [MANAGER, AGENT], lines={"manager": ["served"]})

Change = Callable[[Observation], Observation]


def with_spans(*spans: Span) -> Change:
    return lambda seen: dataclasses.replace(seen, spans=spans)


def test_an_answer_in_time_under_a_minted_request_id_is_green() -> None:
    """What the red cases below change is the only thing that turns the row red."""
    assert hostile_problems(GOOD, SEEN) == []


def test_an_error_of_the_agent_is_its_answer() -> None:
    """An agent of 23.09 raises at this call, under any request ID."""
    errors = '"errors": [{"message": "(\'i-agent\', \'TypeError\')"}]'
    answer = AGENTS.replace('"{}"', "null").removesuffix("}") + f", {errors}}}"
    assert hostile_problems(dataclasses.replace(GOOD, answer=answer), SEEN) == []
    of_another = dataclasses.replace(GOOD, answer=answer.replace("('i-agent", "('i-other"))
    assert "tells nothing of an agent" in "; ".join(hostile_problems(of_another, SEEN))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"status": 0, "error": "TimeoutError: timed out", "seconds": 20.0}, "after 20.0 s is TimeoutError: timed out"),
        ({"status": 500, "answer": "{}"}, "manager: the answer after 0.2 s is 500, {}"),
        ({"seconds": 11.0}, "manager: the answer after 11.0 s is 200"),
        ({"answer": '{"data": {"agents": []}}'}, "the answer tells nothing of an agent"),
        ({"answer": '{"data": null, "errors": []}'}, "the answer tells nothing of an agent"),
        ({"answer": AGENTS.replace('"{}"', "null")}, "the answer tells nothing of an agent"),
        ({"answer": "<html>"}, "the answer tells nothing of an agent"),
        ({"request_ids": []}, "X-Backend-Request-ID on the response is missing"),
        ({"request_ids": [ID, ID]}, f"X-Backend-Request-ID on the response is {ID}, {ID}"),
        ({"request_ids": ["\udcffhostile"]}, "X-Backend-Request-ID on the response is"),
        ({"request_ids": [ID.upper()]}, "X-Backend-Request-ID on the response is"),
    ],
)
def test_another_answer_turns_the_row_red(changes: dict[str, Any], sentence: str) -> None:
    """The client is answered as if it had sent no request ID at all."""
    assert sentence in "; ".join(hostile_problems(dataclasses.replace(GOOD, **changes), SEEN))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (with_spans(AGENT), "manager: no SERVER span with the request ID of the response"),
        (with_spans(MANAGER), "agent: no SERVER span of a call with the request ID of the response, in its trace"),
        (
            with_spans(MANAGER, dataclasses.replace(AGENT, trace_id="b" * 32)),
            "agent: no SERVER span of a call with the request ID of the response, in its trace",
        ),
        (
            with_spans(span("manager", http_request_method="POST"), AGENT),
            "manager: call does not say that its request ID was minted",
        ),
        (
            lambda seen: dataclasses.replace(seen, lines={"agent": [f"\\xff{MARK}"]}),
            "agent: the hostile text is in its log file",
        ),
        (with_spans(MANAGER, AGENT, span("agent", x=MARK)), "agent: the hostile text is at the receiver"),
        (
            lambda seen: dataclasses.replace(seen, logs=[LogLine(1, "INFO", MARK, "backend.ai-manager")]),
            "manager: the hostile text is at the receiver",
        ),
    ],
)
def test_other_traces_of_it_turn_the_row_red(change: Change, sentence: str) -> None:
    """One minted ID in all components, and the hostile text in none."""
    assert hostile_problems(GOOD, change(SEEN)) == [sentence]
