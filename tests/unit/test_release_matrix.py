# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The judgement behind `make test-releases`: a run in which all is well, and what turns each cell red."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from otel_backendai.desk.model import AttributeValue, LogLine, Span, SpanLink
from otel_backendai.names import LOG_REQUEST_ID
from tests.realstack.matrix.expectation_file import read_expectation
from tests.realstack.matrix.facts import Facts
from tests.realstack.matrix.judging import Cell, judge
from tests.realstack.matrix.observation import Expectation, Hop, Observation, Response, Step
from tests.realstack.matrix.report import Column, cell_text, markdown, reasons
from tests.realstack.matrix.sentences import some
from tests.realstack.matrix.span_tree import overlapping
from tests.realstack.stack.settings import RELEASES, StackError, newest_releases, stack_of

ID, TRACE = "id-of-the-step", "a" * 32
RUN_ID, RUN_TRACE = "id-of-the-run", "b" * 32
HTTP: dict[str, AttributeValue] = {"http.request.method": "GET"}
AT_PORT = HTTP | {"server.port": 8090}
RPC: dict[str, AttributeValue] = {"rpc.system.name": "callosum"}

EXPECTED = Expectation(
    http_in=["manager"],
    http_out=[("client", "manager")],
    websocket=[("client", "manager")],
    rpc=[("manager", "agent")],
    event_out=["manager"],
    event_in=["manager"],
    background=[("manager", "agent")],
    log_records=["manager"],
)


def span(
    span_id: str,
    parent: str,
    component: str,
    kind: str,
    attributes: dict[str, AttributeValue] | None = None,
    *,
    run: bool = False,
    start: int = 0,
) -> Span:
    return Span(
        trace_id=RUN_TRACE if run else TRACE,
        span_id=span_id,
        parent_span_id=parent,
        name=span_id,
        kind=kind,
        start_ns=start,
        end_ns=start + 10,
        service=component if component == "client" else f"backend.ai-{component}",
        attributes={"backendai.request.id": RUN_ID if run else ID, **(attributes or {})},
    )


ANSWER = Response("GET", "http://127.0.0.1:8090/a", 200, [ID])

GOOD = Observation(
    steps=[
        Step("a step", ID, TRACE, note={"arrived": ["X-Request-ID=of the user's own"]}, responses=[ANSWER]),
    ],
    spans=[
        span("step", "", "client", "internal"),
        span("get-out", "step", "client", "client", HTTP),
        span("get-in", "get-out", "manager", "server", AT_PORT),
        span("ws-out", "step", "client", "client", HTTP),
        span("ws-in", "ws-out", "manager", "server", HTTP | {"http.response.status_code": 101}, start=20),
        span("call-out", "get-in", "manager", "client", RPC),
        span("call-in", "call-out", "agent", "server", RPC),
        span("event-out", "get-in", "manager", "producer"),
        span("event-in", "event-out", "manager", "consumer"),
        span("run", "", "manager", "internal", {"backendai.request.origin.detail": "background"}, run=True),
        span("run-call-out", "run", "manager", "client", RPC, run=True),
        span("run-call-in", "run-call-out", "agent", "server", RPC, run=True),
    ],
    logs=[LogLine(1, "INFO", "served", "backend.ai-manager", "access", TRACE, "get-in", {LOG_REQUEST_ID: ID})],
    lines={"manager": ["started", f"served [request_id={ID} trace_id={TRACE}]"]},
    json_lines={"manager": [{"message": "started"}, {"message": "served", LOG_REQUEST_ID: ID, "otelTraceID": TRACE}]},
)

Change = Callable[[Observation], Observation]


def without(span_id: str) -> Change:
    return lambda seen: dataclasses.replace(seen, spans=[one for one in seen.spans if one.span_id != span_id])


def extra(*spans: Span) -> Change:
    return lambda seen: dataclasses.replace(seen, spans=[*seen.spans, *spans])


def with_request_id(span_id: str, request_id: str) -> Change:
    def change(seen: Observation) -> Observation:
        spans = [
            dataclasses.replace(one, attributes={**one.attributes, "backendai.request.id": request_id})
            if one.span_id == span_id
            else one
            for one in seen.spans
        ]
        return dataclasses.replace(seen, spans=spans)

    return change


def made_by(span_id: str, scope: str) -> Change:
    return lambda seen: dataclasses.replace(
        seen, spans=[dataclasses.replace(one, scope=scope) if one.span_id == span_id else one for one in seen.spans]
    )


def with_records(logs: Sequence[LogLine], lines: dict[str, list[str]]) -> Change:
    return lambda seen: dataclasses.replace(seen, logs=logs, lines=lines)


def with_json_line(*, instead: bool = False, **line: object) -> Change:
    return lambda seen: dataclasses.replace(
        seen, json_lines={"manager": [*([] if instead else seen.json_lines["manager"]), line]}
    )


def with_arrived(*headers: str) -> Change:
    return lambda seen: dataclasses.replace(
        seen, steps=[dataclasses.replace(seen.steps[0], note={"arrived": list(headers)})]
    )


def with_answer(*request_ids: str, url: str = ANSWER.url) -> Change:
    answer = dataclasses.replace(ANSWER, request_ids=request_ids, url=url)
    return lambda seen: dataclasses.replace(
        seen, steps=[dataclasses.replace(seen.steps[0], responses=[ANSWER, answer])]
    )


def without_answers(seen: Observation) -> Observation:
    return dataclasses.replace(seen, steps=[dataclasses.replace(seen.steps[0], responses=[])])


def test_a_run_in_which_every_hop_kept_everything_is_green() -> None:
    """What the red cases below change is the only thing that turns a cell red."""
    assert judge(EXPECTED, GOOD) == dict.fromkeys(Hop, Cell())


@pytest.mark.parametrize(
    ("change", "hop", "sentence"),
    [
        (without("get-out"), Hop.HTTP_IN, "manager: get-in has no CLIENT span of its caller above it"),
        (
            with_answer(),
            Hop.HTTP_IN,
            "manager: no X-Backend-Request-ID on the response 200 to GET /a (a step)",
        ),
        (with_answer("another"), Hop.HTTP_IN, "manager: another X-Backend-Request-ID on the response 200"),
        (with_answer(ID, ID), Hop.HTTP_IN, "manager: 2 X-Backend-Request-ID on the response 200"),
        (without_answers, Hop.HTTP_IN, "manager: no response to the client was seen"),
        (with_request_id("get-in", "another"), Hop.HTTP_IN, "get-in is in the client's trace without its request ID"),
        (with_request_id("get-in", ""), Hop.HTTP_IN, "get-in is in the client's trace without its request ID"),
        (extra(span("again", "get-out", "manager", "server", HTTP, start=5)), Hop.HTTP_IN, "has two SERVER spans"),
        (extra(span("inner", "get-in", "manager", "server", HTTP)), Hop.HTTP_IN, "inner has no CLIENT span"),
        (extra(span("inner", "get-in", "manager", "server")), Hop.HTTP_IN, "manager: get-in has two SERVER spans"),
        (
            extra(span("mid", "call-in", "agent", "internal"), span("inner", "mid", "agent", "server")),
            Hop.RPC_IN,
            "agent: call-in has two SERVER spans",
        ),
        (extra(span("inner", "event-in", "manager", "consumer")), Hop.EVENT_IN, "event-in has two CONSUMER spans"),
        (
            lambda seen: without("get-in")(without("ws-in")(seen)),
            Hop.HTTP_IN,
            "manager: no SERVER span under a request ID of the client",
        ),
        (lambda seen: without("get-in")(without("ws-in")(seen)), Hop.HTTP_OUT, "client -> manager: no CLIENT span"),
        (with_arrived(f"Traceparent=00-{TRACE}-1-01"), Hop.HTTP_OUT, "a step: the user's program got Traceparent"),
        (with_arrived(f"X-Request-ID={ID}"), Hop.HTTP_OUT, "a step: the user's program got X-Request-ID"),
        (without("ws-in"), Hop.WEBSOCKET, "client -> manager: no upgrade"),
        (without("ws-out"), Hop.WEBSOCKET, "client -> manager: no upgrade"),
        (
            lambda seen: extra(span("plain", "ws-out", "manager", "server", HTTP))(without("ws-in")(seen)),
            Hop.WEBSOCKET,
            "client -> manager: no upgrade",
        ),
        (with_request_id("ws-in", "another"), Hop.WEBSOCKET, "client -> manager: no upgrade"),
        (without("call-in"), Hop.RPC_OUT, "manager: call-out was not continued by agent"),
        (with_request_id("call-in", "another"), Hop.RPC_OUT, "manager: call-out was not continued by agent"),
        (without("call-out"), Hop.RPC_OUT, "manager: no CLIENT span under a request ID of the client"),
        (without("call-out"), Hop.RPC_IN, "agent: call-in has no CLIENT span of manager above it"),
        (without("call-in"), Hop.RPC_IN, "agent: no SERVER span under a request ID of the client"),
        (with_request_id("run-call-out", ""), Hop.RPC_IN, "run-call-in has not the request ID of its caller"),
        (extra(span("again", "call-out", "agent", "server")), Hop.RPC_IN, "agent: call-in has two SERVER spans"),
        (without("event-out"), Hop.EVENT_OUT, "manager: no PRODUCER span below a request"),
        (without("get-in"), Hop.EVENT_OUT, "manager: no PRODUCER span below a request"),
        (with_request_id("event-out", "another"), Hop.EVENT_OUT, "no PRODUCER span under a request ID of the client"),
        (
            made_by("get-in", "ai.backend.common.otel"),
            Hop.HTTP_IN,
            "get-in has a SERVER span of ai.backend.common.otel",
        ),
        (made_by("event-out", "ai.backend.x"), Hop.EVENT_OUT, "event-out has a PRODUCER span of ai.backend.x"),
        (made_by("event-in", "ai.backend.x"), Hop.EVENT_IN, "event-in has a CONSUMER span of ai.backend.x"),
        (
            extra(span("lost", "never-came", "manager", "consumer")),
            Hop.EVENT_IN,
            "manager: the PRODUCER span of lost never arrived",
        ),
        (without("event-in"), Hop.EVENT_IN, "manager: no CONSUMER span that names a PRODUCER span"),
        (without("event-out"), Hop.EVENT_IN, "manager: no CONSUMER span that names a PRODUCER span"),
        (with_request_id("event-in", "another"), Hop.EVENT_IN, "event-in has not the request ID that manager sent"),
        (with_request_id("event-in", "another"), Hop.EVENT_IN, "no CONSUMER span under a request ID of the client"),
        (without("run"), Hop.BACKGROUND, "manager: no root span of a background run, and no work that a request left"),
        (with_request_id("run", ID), Hop.BACKGROUND, "manager: background runs without request IDs of their own"),
        (with_request_id("run", ""), Hop.BACKGROUND, "manager: background runs without request IDs of their own"),
        (
            without("run-call-in"),
            Hop.BACKGROUND,
            "no background run and no work that a request left in which agent was called",
        ),
        (with_records([], {"manager": [ID]}), Hop.LOG_RECORDS, "manager: no log record at the receiver"),
        (
            with_records([LogLine(1, "INFO", "x", "backend.ai-manager", "access", TRACE)], {"manager": [ID]}),
            Hop.LOG_RECORDS,
            "manager: a record of access is in the client's trace without its request ID",
        ),
        (with_records(GOOD.logs, {"agent": [ID]}), Hop.LOG_RECORDS, "manager: no line in its log file"),
        (
            with_json_line(instead=True, request_id=ID, message="served"),
            Hop.LOG_RECORDS,
            "manager: no line in its JSON log file with a request ID and the trace of the client",
        ),
        (
            with_json_line(otelTraceID=TRACE),
            Hop.LOG_RECORDS,
            "manager: a line in its JSON log file names the client's trace without its request ID",
        ),
        (
            with_json_line(request_id=ID, otelTraceID=TRACE),
            Hop.LOG_RECORDS,
            "manager: 1 lines of its log file have a request ID of the client, 2 of its JSON",
        ),
        (with_json_line(), Hop.LOG_RECORDS, "manager: a line of its JSON log file is no object"),
    ],
)
def test_what_is_missing_or_twice_turns_its_hop_red(change: Change, hop: Hop, sentence: str) -> None:
    """A check that cannot fail is none: each rule has a run that breaks it, and the sentence names the component."""
    assert sentence in "; ".join(judge(EXPECTED, change(GOOD))[hop].problems)


def test_a_consumer_that_links_its_producer_is_as_good_as_a_child() -> None:
    """A redelivered event starts a trace of its own under the same request ID."""
    linked = dataclasses.replace(
        span("late", "", "manager", "consumer"), trace_id="c" * 32, links=[SpanLink(TRACE, "event-out")]
    )
    seen = extra(linked)(without("event-in")(GOOD))
    assert judge(EXPECTED, seen)[Hop.EVENT_IN] == Cell()
    other_id = with_request_id("late", "another")(seen)
    assert judge(EXPECTED, other_id)[Hop.EVENT_IN].problems == (
        "manager: late has not the request ID that manager sent",
    )


@pytest.mark.parametrize(
    ("template", "links", "sentence"),
    [
        ("do_schedule", [], ""),
        ("kernel_started", [], "manager: no root span of a background run, and no work that a request left"),
        (
            "do_schedule",
            [SpanLink(TRACE, "event-out")],
            "manager: no root span of a background run, and no work that a request left",
        ),
    ],
)
def test_the_handling_of_a_timers_event_is_a_background_run(
    template: str, links: list[SpanLink], sentence: str
) -> None:
    """Sending it is noise without a span; another event without a sender has lost its trace, and is no run."""
    handling = dataclasses.replace(
        span("tick", "", "manager", "consumer", {"messaging.destination.template": template}, run=True), links=links
    )
    seen = extra(handling)(without("run")(GOOD))
    assert "; ".join(judge(EXPECTED, seen)[Hop.BACKGROUND].problems) == sentence


def test_work_that_a_request_left_is_in_its_trace() -> None:
    """What a timer does for one session is the session's request's; a call below it is proof, one beside it is none."""
    work = dataclasses.replace(span("start session", "get-in", "manager", "internal"), scope="otel_backendai.deferred")
    calls = (span("out", "start session", "manager", "client", RPC), span("in", "out", "agent", "server", RPC))
    alone = without("run-call-in")(without("run-call-out")(without("run")(GOOD)))
    assert judge(EXPECTED, extra(work, *calls)(alone))[Hop.BACKGROUND] == Cell()
    nothing_below = judge(EXPECTED, extra(work)(alone))[Hop.BACKGROUND].problems
    assert nothing_below == ("manager: no background run and no work that a request left in which agent was called",)
    elsewhere = [dataclasses.replace(one, trace_id="c" * 32, parent_span_id="") for one in (work, *calls)]
    assert "manager: start session is not in the trace of the request that left it" in (
        judge(EXPECTED, extra(*elsewhere)(alone))[Hop.BACKGROUND].problems
    )


def test_a_run_that_a_call_started_keeps_its_request_id() -> None:
    """A release whose timers find nothing to do still has runs in the background: those that calls start."""
    expected = dataclasses.replace(EXPECTED, background=["agent"])
    run = dataclasses.replace(span("clean", "call-in", "agent", "internal"), scope="otel_backendai.background")
    seen = extra(run)(GOOD)
    assert judge(expected, seen)[Hop.BACKGROUND] == Cell()
    assert judge(expected, GOOD)[Hop.BACKGROUND].problems == ("agent: no background run below what started it",)
    for lost in ("another", ""):
        assert judge(expected, with_request_id("clean", lost)(seen))[Hop.BACKGROUND].problems == (
            "agent: clean has not the request ID of what started it",
        )


@pytest.mark.parametrize("hop", Hop)
def test_a_hop_for_which_nothing_is_expected_is_red(hop: Hop) -> None:
    """An empty list in hops.toml is a mistake, and no proof."""
    assert "hops.toml names no component" in judge(Expectation(), GOOD)[hop].problems


def test_an_upgrade_is_known_by_the_status_of_either_side() -> None:
    """The SERVER span of a WebSocket whose caller hung up has no status; the caller's CLIENT span has."""
    seen = extra(
        span("ws-out-2", "step", "client", "client", HTTP | {"http.status_code": 101}),
        span("ws-in-2", "ws-out-2", "manager", "server", HTTP),
    )(without("ws-in")(GOOD))
    assert judge(EXPECTED, seen)[Hop.WEBSOCKET] == Cell()


def test_an_absent_hop_is_told_with_its_reason() -> None:
    """`n/a` is a decision with a reason, and is not judged."""
    expected = dataclasses.replace(EXPECTED, absent={Hop.WEBSOCKET: "the release has none"})
    assert judge(expected, without("ws-in")(GOOD))[Hop.WEBSOCKET] == Cell(not_applicable="the release has none")


def test_a_component_that_calls_itself_is_no_duplicate() -> None:
    """Below a CLIENT span a SERVER span of the same component stands for another call."""
    itself = extra(
        span("to-self", "call-in", "agent", "client", HTTP), span("from-self", "to-self", "agent", "server", HTTP)
    )
    assert judge(EXPECTED, itself(GOOD))[Hop.RPC_IN] == Cell()


def test_calls_one_after_the_other_are_no_duplicates() -> None:
    """A redirect makes two calls below one CLIENT span; only spans that were open at once are one call twice."""
    first, second = span("a", "", "manager", "server"), span("b", "", "manager", "server", start=10)
    assert not overlapping([first, second])
    assert overlapping([first, dataclasses.replace(second, start_ns=9)])


def test_every_release_says_what_it_takes_over_each_hop() -> None:
    """Each family of releases is judged on all nine hops."""
    for family in RELEASES.iterdir():
        expected = read_expectation(family / "hops.toml")
        judged = judge(expected, Observation([], []))
        assert all(cell.problems or cell.not_applicable for cell in judged.values()), family
        assert not any("hops.toml" in problem for cell in judged.values() for problem in cell.problems), family


@pytest.mark.parametrize("text", ['http_inn = ["manager"]', '[absent]\n"WebSocket" = " "', '[absent]\nother = "x"'])
def test_a_mistake_in_hops_toml_is_no_expectation(text: str, tmp_path: Path) -> None:
    """An unknown key, an unknown hop or an absence without a reason would silently judge less."""
    path = tmp_path / "hops.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"is not known|without a reason|not a valid Hop"):
        read_expectation(path)


def test_the_page_shows_versions_matrix_and_reasons() -> None:
    """docs/compatibility.md is written from the run alone; what did not work in the run itself is told too."""
    cells = dict.fromkeys(Hop, Cell()) | {
        Hop.WEBSOCKET: Cell(not_applicable="the release has none"),
        Hop.RPC_IN: Cell(("agent: no SERVER span",)),
    }
    column = Column(Facts("26.9.6", "3.13.0", "1.39.1 / 0.60b1"), cells, ["upload: refused"])
    page = markdown([column], "2026-11-23")
    assert "| HTTP in | green |\n" in page
    assert "| WebSocket | n/a |\n" in page
    assert "| RPC in | red |\n" in page
    assert "- **26.9.6, RPC in**: agent: no SERVER span\n" in page
    assert "- **26.9.6, WebSocket**: the release has none\n" in page
    assert "- **26.9.6, the run**: upload: refused\n" in page
    assert not column.is_green
    assert Column(column.facts, dict.fromkeys(Hop, Cell())).is_green
    assert not Column(column.facts, dict.fromkeys(Hop, Cell()), ["upload: refused"]).is_green
    assert reasons([Column(column.facts, dict.fromkeys(Hop, Cell()))]) == []
    assert cell_text(None) == "not run"


def test_many_problems_of_one_kind_are_counted() -> None:
    """A reader gets a few sentences, each once, and how many more there are."""
    assert some(["a", "a", "b", "c", "d", "e"]) == ["a", "b", "c", "and 2 more like this"]


def test_a_release_is_a_version_or_a_family_and_nothing_else() -> None:
    """An unknown release is refused before anything is installed."""
    assert stack_of("26.9", environment={"XDG_CACHE_HOME": "/c"}).family == "26.9"
    assert stack_of("26.9.6", "/somewhere", {"REALSTACK_PORT_BASE": "30000"}).desk_url == "http://127.0.0.1:30011"
    with pytest.raises(StackError, match=r"no release '27\.1'"):
        stack_of("27.1")
    assert [release.rsplit(".", 1)[0] for release in newest_releases()][::5] == ["26.9", "23.9"]
