# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The judgement behind `make test-mixed`: what each mixed cluster has to carry, and what turns it red."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_backendai.desk.model import AttributeValue, LogLine, Span
from otel_backendai.names import ATTRIBUTE_REQUEST_ID, LOG_REQUEST_ID, LOG_TRACE_ID
from tests.realstack.matrix.expectation_file import read_expectation
from tests.realstack.matrix.observation import Expectation, Observation, Response, Step
from tests.realstack.matrix.page import with_part, with_section, write_part, write_section
from tests.realstack.mixed.cases import CASES
from tests.realstack.mixed.complaints import complaints, new_complaints
from tests.realstack.mixed.report import HEADING, LEAD, Verdict, part
from tests.realstack.stack.settings import RELEASES

ID, TRACE = "id-of-the-step", "a" * 32
COMPONENTS = ["manager", "agent", "storage"]
EXPECTED = Expectation(
    http_in=["manager", "storage"],
    http_out=[("client", "manager"), ("manager", "storage")],
    websocket=[("client", "manager")],
    rpc=[("manager", "agent")],
    event_out=["manager", "agent"],
    event_in=["manager"],
    background=[("manager", "agent")],
    log_records=["manager", "storage"],
    native_rpc=True,
)
HTTP: dict[str, AttributeValue] = {"http.request.method": "GET"}
RPC: dict[str, AttributeValue] = {"rpc.system.name": "callosum"}
RUN: dict[str, AttributeValue] = {"backendai.request.origin.detail": "background", ATTRIBUTE_REQUEST_ID: "of-the-run"}


def span(
    span_id: str, parent: str, component: str, kind: str, attributes: dict[str, AttributeValue], trace: str = TRACE
) -> Span:
    service = component if component == "client" else f"backend.ai-{component}"
    return Span(
        trace, span_id, parent, span_id, kind, 0, 1, service, attributes={ATTRIBUTE_REQUEST_ID: ID} | attributes
    )


def seen(*spans: Span, records: tuple[str, ...] = ()) -> Observation:
    logs = [LogLine(1, "INFO", "x", f"backend.ai-{name}", "a", TRACE, "", {LOG_REQUEST_ID: ID}) for name in records]
    answer = Response("GET", "http://127.0.0.1:8090/", 200, [ID])
    lines = {name: [f"line [request_id={ID}]"] for name in records}
    as_json = {name: [{LOG_REQUEST_ID: ID, LOG_TRACE_ID: TRACE}] for name in records}
    return Observation([Step("a step", ID, TRACE, responses=[answer])], spans, logs, lines, as_json)


CLIENT = [span("step", "", "client", "internal", {}), span("get-out", "step", "client", "client", HTTP)]
MANAGER = [
    span("get-in", "get-out", "manager", "server", HTTP | {"server.port": 8090}),
    span("call-out", "get-in", "manager", "client", RPC),
    span("event-out", "get-in", "manager", "producer", {}),
    span("event-in", "event-out", "manager", "consumer", {}),
]
# In a trace of the client below a span of a manager that sends elsewhere.
AGENT = [
    span("call-in", "of-the-manager", "agent", "server", RPC),
    span("agent-event-out", "call-in", "agent", "producer", {}),
]
ALL = [
    *CLIENT,
    *MANAGER,
    span("call-in", "call-out", "agent", "server", RPC),
    span("agent-event-out", "call-in", "agent", "producer", {}),
    span("ws-out", "step", "client", "client", HTTP),
    span("ws-in", "ws-out", "manager", "server", HTTP | {"http.response.status_code": 101}),
    span("run", "", "manager", "internal", RUN, "b" * 32),
    span("run-call-out", "run", "manager", "client", RPC | RUN, "b" * 32),
    span("run-call-in", "run-call-out", "agent", "server", RPC | RUN, "b" * 32),
]
# As it is without [otel]: the manager has no trace to send.
AGENT_WITHOUT_TRACE = [dataclasses.replace(one, trace_id="c" * 32) for one in AGENT]
AGENT_WITHOUT_TRACE[0] = dataclasses.replace(AGENT_WITHOUT_TRACE[0], parent_span_id="")

GOOD = {
    "manager only": seen(*CLIENT, *MANAGER, records=("manager",)),
    "agent only": seen(*CLIENT, *AGENT_WITHOUT_TRACE),
    "agent only, [otel] on everywhere": seen(*CLIENT, *AGENT),
    "all but the storage-proxy": seen(*ALL, records=("manager",)),
}


def problems(title: str, observation: Observation, expected: Expectation = EXPECTED) -> list[str]:
    (case,) = (case for case in CASES if case.title == title)
    return case.problems(expected, observation, COMPONENTS)


Change = Callable[[Observation], Observation]


def without(span_id: str) -> Change:
    return lambda run: dataclasses.replace(run, spans=[one for one in run.spans if one.span_id != span_id])


def extra(*spans: Span) -> Change:
    return lambda run: dataclasses.replace(run, spans=[*run.spans, *spans])


def with_request_id(span_id: str, request_id: str) -> Change:
    return lambda run: dataclasses.replace(
        run,
        spans=[
            dataclasses.replace(one, attributes={**one.attributes, ATTRIBUTE_REQUEST_ID: request_id})
            if one.span_id == span_id
            else one
            for one in run.spans
        ],
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_what_a_mixed_cluster_can_carry_is_green(case: object) -> None:
    """What the red cases below change is the only thing that turns a case red."""
    title = case.title  # type: ignore[attr-defined]  # pytest's parameters have no type
    assert problems(title, GOOD[title]) == []


@pytest.mark.parametrize(
    ("title", "change", "sentence"),
    [
        ("manager only", extra(*AGENT), "agent sent spans or log records, and should be without the plugin"),
        ("manager only", without("call-out"), "manager: no CLIENT span of a call under a request ID of the client"),
        ("manager only", without("get-in"), "manager: no SERVER span under a request ID of the client"),
        ("manager only", without("event-in"), "manager: no CONSUMER span that names a PRODUCER span"),
        (
            "manager only",
            lambda run: dataclasses.replace(run, logs=[]),
            "manager: no log record at the receiver with a request ID and the trace of the client",
        ),
        (
            "manager only",
            lambda run: dataclasses.replace(run, steps=[dataclasses.replace(run.steps[0], error="refused")]),
            "a step: refused",
        ),
        ("agent only", without("call-in"), "agent: no SERVER span of a call"),
        ("agent only", with_request_id("call-in", ""), "agent: call-in has no request ID"),
        ("agent only", with_request_id("call-in", "own"), "agent: no SERVER span under a request ID of the client"),
        ("agent only", without("agent-event-out"), "agent: no PRODUCER span below a call"),
        (
            "agent only",
            extra(span("again", "call-in", "agent", "server", RPC, "c" * 32)),
            "agent: call-in has two SERVER spans",
        ),
        (
            "agent only, [otel] on everywhere",
            lambda run: GOOD["agent only"],
            "agent: no SERVER span that continues a trace of the client under its request ID",
        ),
        ("all but the storage-proxy", without("call-in"), "RPC out: manager: call-out was not continued by agent"),
        (
            "all but the storage-proxy",
            extra(span("stored", "get-in", "storage", "server", HTTP)),
            "storage sent spans or log records, and should be without the plugin",
        ),
    ],
)
def test_what_gets_lost_turns_a_mixed_cluster_red(title: str, change: Change, sentence: str) -> None:
    """Each rule has a run that breaks it."""
    assert sentence in "; ".join(problems(title, change(GOOD[title])))


def test_only_an_app_proxy_with_the_plugin_keeps_headers_from_programs() -> None:
    """One without it passes on what the client sends, whoever else has the plugin."""
    for title, expected in (
        ("manager only", []),
        ("all but the storage-proxy", ["HTTP out: a step: the user's program"]),
    ):
        steps = [dataclasses.replace(GOOD[title].steps[0], note={"arrived": [f"X-Request-ID={ID}"]})]
        told = problems(title, dataclasses.replace(GOOD[title], steps=steps))
        assert [problem.partition(" got ")[0] for problem in told] == expected


def test_an_agent_is_asked_for_the_clients_id_only_where_the_release_carries_it() -> None:
    """Before 26.9 nothing native crosses the RPC: the agent's request IDs are its own."""
    old = dataclasses.replace(EXPECTED, native_rpc=False)
    own = with_request_id("call-in", "own")(with_request_id("agent-event-out", "own")(GOOD["agent only"]))
    assert problems("agent only", own, old) == []
    assert read_expectation(RELEASES / "26.9" / "hops.toml").native_rpc
    assert not read_expectation(RELEASES / "23.9" / "hops.toml").native_rpc


def test_a_complaint_is_known_whatever_ids_and_numbers_it_has() -> None:
    """Times, IDs and numbers differ between two runs in which the same thing happens; the words do not."""
    before = {"agent": ["2026-11-23 10:00:00.123 WARNING a.b [77] no kernel 375c9aad-8174-4818-bcad-c95676948a88"]}
    after = {"agent": ["2026-11-24 11:11:11.456 WARNING a.b [88] no kernel 11111111-8174-4818-bcad-c95676948a88"]}
    assert new_complaints(before, after) == []
    tagged = {"agent": [after["agent"][0] + " [request_id=x trace_id=1f span_id=2e]"]}
    assert len(complaints([*before["agent"], *after["agent"]])) == 1
    assert new_complaints(before, tagged) == []


def test_a_complaint_that_nobody_had_before_is_told_with_its_component() -> None:
    """Warnings, errors, tracebacks and their last lines; not what is only information."""
    lines = ["INFO a [1] ERRORS none", "ERROR a.b [1] lost", "Traceback (most recent call last):", "x.y.SomeError: z"]
    assert new_complaints({"manager": []}, {"agent": lines}) == [
        "agent: ERROR a.b [#] lost",
        "agent: Traceback (most recent call last):",
        "agent: x.y.SomeError: z",
    ]


def test_a_complaint_of_another_component_excuses_nobody() -> None:
    """What the agent always says is new from the manager, which has never said it."""
    line = "WARNING a.b [1] connection lost"
    assert new_complaints({"agent": [line], "manager": []}, {"agent": [line], "manager": []}) == []
    assert new_complaints({"agent": [line], "manager": []}, {"agent": [line], "manager": [line]}) == [
        "manager: WARNING a.b [#] connection lost"
    ]
    assert new_complaints({"agent": [line]}, {"manager": [line]}) == ["manager: WARNING a.b [#] connection lost"]


def test_who_of_a_stack_is_up_first_is_no_complaint() -> None:
    """An agent that had to wait for its manager: chance, with the plugin and without."""
    line = "WARNING ai.backend.agent.server [1] watching etcd to wait for the manager being available"
    assert new_complaints({"agent": []}, {"agent": [line]}) == []


def test_the_page_keeps_what_other_commands_wrote(tmp_path: Path) -> None:
    """Each command replaces its own section."""
    page = tmp_path / "page.md"
    page.touch()
    write_section(page, "Hops", "old\n")
    write_part(page, HEADING, LEAD, "26.9.6", part([Verdict("agent only", "calls", ["lost"])], "2026-11-23"))
    write_section(page, "Hops", "new\n")
    text = page.read_text()
    assert text.startswith(
        f"# Compatibility\n\n## Hops\n\nnew\n\n## Mixed clusters\n\n{LEAD.strip()}\n\n### 26.9.6\n\n"
    )
    assert "| agent only | red | calls |\n" in text
    assert text.endswith("- **agent only**: lost\n")
    assert with_section(text, "Hops", "new\n") == text


def test_a_release_replaces_its_own_table_only() -> None:
    """One section, a table per release: a run keeps the tables of the others, and the sections on both sides."""
    green, red = part([Verdict("agent only", "calls")], "d1"), part([Verdict("agent only", "calls", ["lost"])], "d2")
    page = with_section("# T\n\n## Mixed\n\nold words\n\n## After\n\nz\n", "Before", "y")
    for release, text in (("26.9.6", green), ("23.9.10", red), ("26.9.6", red), ("23.9.10", green)):
        page = with_part(page, "Mixed", "lead", release, text)
    parts = f"### 26.9.6\n\n{red}\n### 23.9.10\n\n{green}"
    assert page == f"# T\n\n## Mixed\n\nlead\n\n{parts}\n## After\n\nz\n\n## Before\n\ny\n"
    assert with_part(page, "Mixed", "lead", "23.9.10", green) == page
