# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

import json
import math
from dataclasses import replace

import pytest
from multidict import MultiDict

from otel_backendai.desk.attribute_text import attribute_text
from otel_backendai.desk.jaeger_model import jaeger_trace
from otel_backendai.desk.jaeger_params import (
    ParameterError,
    parse_duration_ns,
    parse_trace_id,
    parse_trace_ids,
    parse_trace_query,
)
from otel_backendai.desk.jaeger_warnings import go_duration, trace_warnings
from otel_backendai.desk.model import AttributeValue, Span, SpanEvent, SpanLink

TRACE_ID = "5b8efff798038103d269b633813fc60c"
OTHER_TRACE_ID = "0" * 16 + "d269b633813fc60c"
MS = 10**6

ROOT = Span(
    trace_id=TRACE_ID,
    span_id="00000000000000a1",
    parent_span_id="",
    name="POST /session",
    kind="server",
    start_ns=1_700_000_000_000_000_999,
    end_ns=1_700_000_000_002_500_999,
    service="manager",
    status="error",
    status_message="no space left",
    trace_state="a=b",
    scope="otel_backendai",
    scope_version="0.1.0",
    attributes={"z": 1.5, "a": "text", "flag": True, "big": 2**53, "small": -(2**53 - 1), "raw": b"\x00\xff"},
    resource={"service.name": "manager", "process.pid": 7, "host.name": "node-1"},
    events=(
        SpanEvent(1_700_000_000_001_000_999, "retry", {"event": "named by itself"}),
        SpanEvent(1_700_000_000_002_000_999, "exception", {"exception.type": "OSError"}),
    ),
    links=(SpanLink(OTHER_TRACE_ID, "00000000000000b2", {"lost": "in Jaeger too"}),),
)


def child(number: int, **changes: object) -> Span:
    made = replace(ROOT, span_id=f"{number:016x}", parent_span_id=ROOT.span_id, events=(), links=(), trace_state="")
    return replace(made, **changes)  # type: ignore[arg-type]  # changes are named by the tests below


def tag(key: str, kind: str, value: object) -> dict[str, object]:
    return {"key": key, "type": kind, "value": value}


def test_a_span_in_full() -> None:
    """A span with everything reads as Jaeger 2.13 translates it: names, types, order of tags, units, IDs."""
    expected = {
        "traceID": TRACE_ID,
        "spans": [
            {
                "traceID": TRACE_ID,
                "spanID": "00000000000000a1",
                "operationName": "POST /session",
                "references": [
                    {"refType": "FOLLOWS_FROM", "traceID": "d269b633813fc60c", "spanID": "00000000000000b2"},
                ],
                "startTime": 1_700_000_000_000_000,
                "duration": 2500,
                "tags": [
                    tag("a", "string", "text"),
                    tag("big", "int64", "9007199254740992"),
                    tag("error", "bool", True),
                    tag("flag", "bool", True),
                    tag("otel.scope.name", "string", "otel_backendai"),
                    tag("otel.scope.version", "string", "0.1.0"),
                    tag("otel.status_code", "string", "ERROR"),
                    tag("otel.status_description", "string", "no space left"),
                    tag("raw", "binary", "AP8="),
                    tag("small", "int64", -9007199254740991),
                    tag("span.kind", "string", "server"),
                    tag("w3c.tracestate", "string", "a=b"),
                    tag("z", "float64", 1.5),
                ],
                "logs": [
                    {"timestamp": 1_700_000_000_001_000, "fields": [tag("event", "string", "named by itself")]},
                    {
                        "timestamp": 1_700_000_000_002_000,
                        "fields": [tag("event", "string", "exception"), tag("exception.type", "string", "OSError")],
                    },
                ],
                "processID": "p1",
                "warnings": None,
            }
        ],
        "processes": {
            "p1": {
                "serviceName": "manager",
                "tags": [tag("host.name", "string", "node-1"), tag("process.pid", "int64", 7)],
            }
        },
        "warnings": None,
    }
    assert expected == jaeger_trace([ROOT])


def test_a_bare_span() -> None:
    """What a span does not have makes no tag: no kind, no scope, no status."""
    bare = Span(TRACE_ID, "a" * 16, "", "name", "", 1000, 2000, "manager")
    (converted,) = json.loads(json.dumps(jaeger_trace([bare])))["spans"]
    assert converted["tags"] == converted["logs"] == converted["references"] == []


def references(span: Span) -> list[tuple[str, str]]:
    (converted,) = json.loads(json.dumps(jaeger_trace([span])))["spans"]
    return [(reference["refType"], reference["spanID"]) for reference in converted["references"]]


def test_parent_is_the_first_reference() -> None:
    """The parent comes first as CHILD_OF, links follow in their order as FOLLOWS_FROM."""
    links = (SpanLink(OTHER_TRACE_ID, "c" * 16), SpanLink(OTHER_TRACE_ID, "b" * 16))
    assert [("CHILD_OF", ROOT.span_id), ("FOLLOWS_FROM", "c" * 16), ("FOLLOWS_FROM", "b" * 16)] == references(
        child(1, links=links)
    )


def test_link_to_the_parent_changes_the_type_of_its_reference() -> None:
    """A link to the parent is no second reference; `opentracing.ref_type` names the type of any link."""
    to_parent = SpanLink(TRACE_ID, ROOT.span_id)
    child_of = SpanLink(OTHER_TRACE_ID, "b" * 16, {"opentracing.ref_type": "child_of"})
    assert [("FOLLOWS_FROM", ROOT.span_id), ("CHILD_OF", "b" * 16)] == references(child(1, links=(to_parent, child_of)))


def test_link_without_a_trace_is_left_out_with_a_warning() -> None:
    """A link that leads nowhere is removed, and the span says so."""
    broken = child(1, links=(SpanLink("", "b" * 16),), parent_span_id="")
    assert references(broken) == []
    (warning,) = trace_warnings([broken])[broken.span_id]
    assert warning.startswith(
        "Invalid span reference removed {TraceID:0000000000000000 SpanID:bbbbbbbbbbbbbbbb RefType:FOLLOWS_FROM "
    )


def test_link_into_the_own_trace_stands_for_a_parent() -> None:
    """Jaeger puts a span without a parent below what it links to in its trace: it comes first."""
    inside, outside = SpanLink(TRACE_ID, "c" * 16), SpanLink(OTHER_TRACE_ID, "b" * 16)
    linked = child(1, links=(outside, inside), parent_span_id="")
    assert references(linked) == [("FOLLOWS_FROM", "c" * 16), ("FOLLOWS_FROM", "b" * 16)]
    assert trace_warnings([linked]) == {
        linked.span_id: [f"invalid parent span IDs={'c' * 16}; skipping clock skew adjustment"]
    }


def test_event_name_leads_its_fields() -> None:
    """The name of an event is its first field; a field of that name and of another type is sorted in."""
    named = SpanEvent(1000, "named", {"a": 1, "z": 2})
    typed = SpanEvent(2000, "typed", {"a": 1, "event": 5})
    (converted,) = json.loads(json.dumps(jaeger_trace([child(1, events=(typed, named), parent_span_id="")])))["spans"]
    assert [[field["key"] for field in log["fields"]] for log in converted["logs"]] == [
        ["a", "event"],
        ["event", "a", "z"],
    ]


def test_no_duration_is_a_warning() -> None:
    """A span that ends when it starts, or before, is reported with the times in Go's form."""
    late = child(1, start_ns=10**9, end_ns=10**9 - 5 * 10**8, parent_span_id="")
    assert trace_warnings([late]) == {
        late.span_id: [
            "Negative duration detected, sanitizing end timestamp. Original end timestamp: "
            "1970-01-01 00:00:00.5 +0000 UTC, adjusted to: 1970-01-01 00:00:01.000000001 +0000 UTC"
        ]
    }


def test_processes_are_shared() -> None:
    """Spans of one resource share a process, another instance of the same service is another one."""
    twin = {**ROOT.resource, "process.pid": 8}
    trace = json.loads(json.dumps(jaeger_trace([ROOT, child(1), child(2, resource=twin)])))
    assert [span["processID"] for span in trace["spans"]] == ["p1", "p1", "p2"]
    assert [process["serviceName"] for process in trace["processes"].values()] == ["manager", "manager"]


def test_missing_parent_is_a_warning() -> None:
    """A span whose parent never arrived says which one is missing."""
    assert {
        f"{1:016x}": ["invalid parent span IDs=00000000000000a1; skipping clock skew adjustment"]
    } == trace_warnings([child(1)])


def test_clock_skew_is_a_warning() -> None:
    """A child of another host that lies outside its parent is reported with what would fit it in the middle."""
    root = replace(ROOT, resource={"ip": "10.0.0.1"})
    early = child(1, start_ns=ROOT.start_ns - 10 * MS, end_ns=ROOT.start_ns - 9 * MS, resource={"ip": "10.0.0.2"})
    same_host = replace(early, span_id="f" * 16, resource=root.resource)
    grandchild = replace(early, span_id="e" * 16, parent_span_id=early.span_id)
    message = ["clock skew adjustment disabled; not applying calculated delta of 10.75ms"]
    assert {early.span_id: message, grandchild.span_id: message} == trace_warnings([root, early, same_host, grandchild])


def test_spans_in_a_circle_end() -> None:
    """Two spans that name each other as parent are answered like any others."""
    one, two = child(1, parent_span_id=f"{2:016x}"), child(2, parent_span_id=f"{1:016x}")
    assert len(json.loads(json.dumps(jaeger_trace([one, two])))["spans"]) == 2


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (999, "999ns"),
        (1_500, "1.5µs"),
        (-10_750_000, "-10.75ms"),
        (1_000_000_001, "1.000000001s"),
        (61 * 10**9, "1m1s"),
        (3600 * 10**9, "1h0m0s"),
    ],
)
def test_durations_as_go_prints_them(nanoseconds: int, text: str) -> None:
    """Warnings name durations in Go's form."""
    assert text == go_duration(nanoseconds)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("a<b", "a<b"),
        (True, "true"),
        (-5, "-5"),
        (1.0, "1"),
        (0.1, "0.1"),
        (1e21, "1e+21"),
        (1e-7, "1e-7"),
        (math.nan, "NaN"),
        (-math.inf, "-Inf"),
        (b"\x00\xff", "AP8="),
        ([1, "a<&>", b"\xff", None, 2.0], '[1,"a\\u003c\\u0026\\u003e","/w==",null,2]'),
        ({"b": [], "a": {"k": False}}, '{"a":{"k":false},"b":[]}'),
    ],
)
def test_values_as_text(value: AttributeValue, text: str) -> None:
    """Values that are no tag type of Jaeger become the text that the Collector's own code makes of them."""
    assert text == attribute_text(value)


def test_not_a_number_is_still_an_answer() -> None:
    """A float that JSON cannot hold is sent as text; every answer is strict JSON."""
    text = json.dumps(jaeger_trace([replace(ROOT, attributes={"x": math.nan, "y": [math.inf]})]), allow_nan=False)
    assert '"value": "NaN"' in text


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1.2s", 1_200 * MS),
        ("100ms", 100 * MS),
        ("1h30m", 5_400_000 * MS),
        ("5us", 5000),
        ("5µs", 5000),
        (".5ns", 0),
        ("0", 0),
    ],
)
def test_durations_as_go_reads_them(text: str, nanoseconds: int) -> None:
    """Durations are numbers with units, also several in a row."""
    assert nanoseconds == parse_duration_ns(text)


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1s ", "1d", "1e3s", ".s", "1.2.3s", "9" * 5000 + "s"])
def test_bad_durations(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ParameterError):
        parse_duration_ns(text)


def test_search_parameters() -> None:
    """Every parameter of Jaeger's search is understood; times are microseconds."""
    parameters = MultiDict(
        [
            ("service", "manager"),
            ("operation", "POST /session"),
            ("tags", '{"backendai.request.id": "req:1"}'),
            ("tag", "a:b:c"),
            ("start", "1000"),
            ("end", "2000"),
            ("minDuration", "1ms"),
            ("maxDuration", "1s"),
            ("limit", "20"),
            ("lookback", "custom"),
        ]
    )
    query = parse_trace_query(parameters)
    assert (query.service, query.operation, query.limit) == ("manager", "POST /session", 20)
    assert query.tags == {"backendai.request.id": "req:1", "a": "b:c"}
    assert (query.start_ns, query.end_ns) == (1_000_000, 2_000_000)
    assert (query.min_duration_ns, query.max_duration_ns) == (MS, 1000 * MS)


def test_search_looks_back_two_days_or_as_told() -> None:
    """Without `start` the search begins two days ago, or as long ago as `lookback` says."""
    for parameters, hours in (({}, 48), ({"lookback": "1h"}, 1), ({"lookback": "custom"}, 48)):
        query = parse_trace_query(MultiDict({"service": "manager", **parameters}))
        assert query.start_ns is not None
        assert query.end_ns is not None
        assert hours * 3600 * 10**9 == query.end_ns - query.start_ns


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("service", "", "parameter 'service' is required"),
        ("start", "now", "unable to parse param 'start'"),
        ("end", "1.5", "unable to parse param 'end'"),
        ("limit", "0", "search depth must be greater than 0"),
        ("limit", "9" * 5000, "unable to parse param 'limit'"),
        ("minDuration", "1", "unable to parse param 'minDuration'"),
        ("minDuration", "2s", "'maxDuration' should be greater than 'minDuration'"),
        ("tag", "a", "malformed 'tag' parameter"),
        ("tags", "{", "malformed 'tags' parameter"),
        ("tags", '{"a": 1}', "malformed 'tags' parameter"),
        ("tags", "[" * 100_000, "malformed 'tags' parameter"),
    ],
)
def test_bad_search_parameters(name: str, value: str, message: str) -> None:
    """A parameter that cannot be used is refused in a sentence that names it."""
    parameters = MultiDict({"service": "manager", "maxDuration": "1s"})
    parameters[name] = value
    with pytest.raises(ParameterError, match=message):
        parse_trace_query(parameters)


def test_trace_ids() -> None:
    """Leading zeros may be missing, any case will do; what is no ID is refused."""
    assert parse_trace_id("A") == "0" * 31 + "a"
    assert parse_trace_ids(MultiDict([("traceID", TRACE_ID), ("traceID", "1")])) == [TRACE_ID, "0" * 31 + "1"]
    for text in ("", "x", "a" * 33, "-1", "\u0661"):
        with pytest.raises(ParameterError):
            parse_trace_id(text)
