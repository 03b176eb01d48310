# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

import gc
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import pytest

from otel_backendai.desk.model import LogLine, Span, SpanEvent
from otel_backendai.desk.search import TraceQuery
from otel_backendai.desk.store import Store

SECOND = 10**9


def span(trace: int, number: int, request_id: str = "", **changes: object) -> Span:
    made = Span(
        trace_id=f"{trace:032x}",
        span_id=f"{number:016x}",
        parent_span_id="",
        name="POST /session",
        kind="server",
        start_ns=(1000 + number) * SECOND,
        end_ns=(1001 + number) * SECOND,
        service="manager",
        attributes={"backendai.request.id": request_id} if request_id else {},
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # changes are named by the tests below


def log(number: int, *, trace: int = 0, **attributes: str) -> LogLine:
    trace_id = f"{trace:032x}" if trace else ""
    return LogLine(number * SECOND, "INFO", f"line {number}", "manager", trace_id=trace_id, attributes=attributes)


def span_ids(store: Store, trace: int) -> list[str]:
    return [span.span_id for span in store.trace(f"{trace:032x}")]


def test_spans_of_a_trace_come_by_start_time() -> None:
    """A trace is answered in order of time, whatever the order of arrival; an unknown one is empty."""
    store = Store()
    store.add_spans([span(1, 3), span(1, 1), span(1, 2), span(2, 9)])
    assert [f"{number:016x}" for number in (1, 2, 3)] == span_ids(store, 1)
    assert store.trace("f" * 32) == []


def test_a_span_that_arrives_again_is_kept_once() -> None:
    """A retried export changes nothing: neither the spans nor the counts."""
    store = Store()
    store.add_spans([span(1, 1, "req-1")])
    store.add_spans([span(1, 1, "req-1", name="again"), span(1, 2, "req-1")])
    assert 2 == store.span_count == store.requests(10)[0].span_count
    assert store.trace(f"{1:032x}")[0].name == "POST /session"


def test_same_span_id_in_two_traces_is_two_spans() -> None:
    """Only the pair of trace ID and span ID names a span."""
    store = Store()
    store.add_spans([span(1, 1), span(2, 1)])
    assert store.span_count == 2


def test_oldest_trace_is_dropped_whole() -> None:
    """Beyond the bound, the trace whose first span came first goes with all its spans and every trace of it."""
    store = Store(max_spans=4)
    store.add_spans([span(1, 1, "req-1", service="old"), span(2, 2, "req-2"), span(1, 3, "req-1"), span(2, 4, "req-2")])
    store.add_spans([span(3, 5, "req-3")])
    assert store.trace(f"{1:032x}") == []
    assert len(store.trace(f"{2:032x}")) == 2
    assert store.traces_of_request("req-1") == []
    assert [summary.request_id for summary in store.requests(10)] == ["req-3", "req-2"]
    assert store.services() == ["manager"]
    assert store.operations("old") == []
    assert store.find_traces(TraceQuery(service="old")) == []
    assert store.span_count == 3


def test_a_trace_that_fills_the_store_alone_keeps_its_first_spans() -> None:
    """One endless trace neither grows beyond the bound nor deletes itself."""
    store = Store(max_spans=3)
    store.add_spans(span(1, number) for number in range(1, 10))
    assert [f"{number:016x}" for number in (1, 2, 3)] == span_ids(store, 1)


def test_a_late_span_of_the_oldest_trace_makes_room_and_is_kept() -> None:
    """When a full store gets a span of the very trace that has to go, the trace starts anew with that span."""
    store = Store(max_spans=2)
    store.add_spans([span(1, 1, "req-1"), span(2, 2), span(1, 3, "req-1")])
    assert [f"{3:016x}"] == span_ids(store, 1)
    assert [f"{1:032x}"] == store.traces_of_request("req-1")


def test_request_spans_several_traces() -> None:
    """All traces with a span of the request belong to it, by start time, and no other trace does."""
    store = Store()
    store.add_spans([span(2, 8, "req-1"), span(1, 3, "req-1"), span(1, 4), span(3, 5, "req-2")])
    assert [f"{1:032x}", f"{2:032x}"] == store.traces_of_request("req-1")
    assert store.traces_of_request("req-9") == []


def test_a_log_line_ties_a_trace_to_a_request() -> None:
    """A trace whose spans name no request belongs to the one that a log line inside it names, by either attribute."""
    store = Store()
    store.add_spans([span(1, 1), span(2, 2)])
    store.add_logs([log(5, trace=1, request_id="req-1"), log(6, trace=2, **{"backendai.request.id": "req-2"})])
    assert [f"{1:032x}"] == store.traces_of_request("req-1")
    assert store.requests_of_trace(f"{2:032x}") == ["req-2"]


def test_log_lines_of_a_request() -> None:
    """A request's lines are those that name it, and those of its traces that name none; never another request's."""
    store = Store()
    store.add_spans([span(1, 1, "req-1")])
    store.add_logs([log(4, trace=1), log(3, request_id="req-1"), log(2, trace=1, request_id="req-2"), log(1)])
    assert [line.body for line in store.logs_of_request("req-1")] == ["line 3", "line 4"]
    assert [line.body for line in store.logs_of_trace(f"{1:032x}")] == ["line 2", "line 4"]
    assert store.logs_of_request("req-9") == []


def test_oldest_log_lines_are_dropped() -> None:
    """Log lines leave one by one, in order of arrival, from every index."""
    store = Store(max_logs=2)
    store.add_logs(
        [log(9, trace=1, request_id="req-1"), log(8, trace=2, request_id="req-2"), log(7, request_id="req-2")]
    )
    assert store.log_count == 2
    assert store.logs_of_trace(f"{1:032x}") == []
    assert store.logs_of_request("req-1") == []
    assert [summary.request_id for summary in store.requests(10)] == ["req-2"]


def test_summary_of_a_request() -> None:
    """The list of requests says when, how long, how much, where and whether it failed; the latest request is first."""
    store = Store()
    store.add_spans([span(1, 1, "req-1"), span(2, 5, "req-1", service="agent", status="error"), span(3, 1, "req-2")])
    store.add_logs([log(1, request_id="req-1")])
    second, first = store.requests(10)
    assert (second.request_id, second.error) == ("req-2", False)
    assert (first.start_ns, first.duration_ns) == (1001 * SECOND, 5 * SECOND)
    assert (
        first.span_count,
        first.trace_count,
        first.log_count,
        first.services,
        first.error,
    ) == (2, 2, 1, ("manager", "agent"), True)
    assert [summary.request_id for summary in store.requests(1)] == ["req-2"]


def test_request_of_log_lines_only_is_listed() -> None:
    """A request whose spans never came is still found by its log lines."""
    store = Store()
    store.add_logs([log(3, request_id="req-1"), log(5, request_id="req-1")])
    assert (
        store.requests(1)[0].span_count,
        store.requests(1)[0].log_count,
        store.requests(1)[0].duration_ns,
    ) == (0, 2, 2 * SECOND)


@pytest.mark.parametrize("value", ["", "x" * 129, 5, b"req", None, ["req-1"]])
def test_what_is_no_request_id_is_no_key(value: object) -> None:
    """An attribute that cannot be a request ID makes no entry in the list of requests."""
    store = Store()
    store.add_spans([span(1, 1, attributes={"backendai.request.id": value})])
    assert store.requests(10) == []


def test_operations_name_each_pair_once() -> None:
    """Operations are pairs of name and kind, sorted, each once."""
    store = Store()
    store.add_spans([span(1, 1, kind="server"), span(1, 2, kind="client"), span(1, 3, kind="client")])
    assert store.operations("manager") == [("POST /session", "client"), ("POST /session", "server")]


MATCHING = span(
    1,
    1,
    status="error",
    attributes={"http.status": 500, "ok": True, "text": "a"},
    resource={"host.name": "node-1"},
    events=(SpanEvent(0, "exception", {"exception.type": "OSError"}),),
)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (TraceQuery(), True),
        (TraceQuery(service="manager", operation="POST /session"), True),
        (TraceQuery(service="agent"), False),
        (TraceQuery(service="manager", operation="GET"), False),
        (TraceQuery(tags={"http.status": "500", "ok": "true", "host.name": "node-1"}), True),
        (TraceQuery(tags={"http.status": "500", "text": "b"}), False),
        (TraceQuery(tags={"exception.type": "OSError"}), True),
        (TraceQuery(tags={"error": "true"}), True),
        (TraceQuery(tags={"error": "false"}), False),
        (TraceQuery(start_ns=1001 * SECOND, end_ns=1001 * SECOND), True),
        (TraceQuery(start_ns=1001 * SECOND + 1), False),
        (TraceQuery(end_ns=1001 * SECOND - 1), False),
        (TraceQuery(min_duration_ns=SECOND, max_duration_ns=SECOND), True),
        (TraceQuery(min_duration_ns=SECOND + 1), False),
        (TraceQuery(max_duration_ns=SECOND - 1), False),
    ],
)
def test_search_conditions(query: TraceQuery, found: bool) -> None:
    """Each condition of a search holds at its bound and fails beyond it."""
    store = Store()
    store.add_spans([MATCHING])
    assert found is bool(store.find_traces(query))


def test_one_span_has_to_match_everything() -> None:
    """Two spans that match half of a search each are no match."""
    store = Store()
    store.add_spans([span(1, 1, name="a", attributes={"x": "1"}), span(1, 2, name="b", attributes={"x": "2"})])
    assert store.find_traces(TraceQuery(operation="a", tags={"x": "2"})) == []


def test_search_gives_the_latest_traces_up_to_its_limit() -> None:
    """The latest arrivals come first, and no more than asked for."""
    store = Store()
    store.add_spans(span(number, number) for number in range(1, 6))
    assert [f"{5:032x}", f"{4:032x}"] == store.find_traces(TraceQuery(service="manager", limit=2))


def test_memory_stays_flat() -> None:
    """Ten times as many requests as fit leave no more behind than the first filling did."""
    store = Store(max_spans=200, max_logs=200)

    def fill(first: int) -> int:
        for number in range(first, first + 400):
            store.add_spans([span(number, 1, f"req-{number}", service=f"service-{number}")])
            store.add_logs([log(number, trace=number, request_id=f"req-{number}")])
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        after_one = fill(1)
        for round_number in range(1, 10):
            after_ten = fill(1 + 400 * round_number)
    finally:
        tracemalloc.stop()
    assert after_ten < after_one * 1.2
    assert 200 == len(store.services()) == store.span_count == store.log_count


def test_store_needs_neither_aiohttp_nor_protobuf() -> None:
    """The store and its model can be imported where only the standard library is."""
    code = (
        "import sys, otel_backendai.desk.store, otel_backendai.desk.model;"
        "print(sorted({'aiohttp', 'google.protobuf', 'opentelemetry'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert printed.stdout.strip() == "[]"


def test_bytes_are_bounded_as_well_as_counts() -> None:
    """Ten log records may be as large as a hundred thousand: the oldest go, of spans whole traces."""
    store = Store(max_bytes=1_000)
    for trace in range(1, 11):
        store.add_spans([span(trace, 1), span(trace, 2)], 200)
        store.add_logs([log(trace)], 400)
    assert [bool(span_ids(store, trace)) for trace in range(1, 11)] == [False] * 8 + [True] * 2
    assert store.log_count == 2
    store.add_logs([log(11)], 5_000)
    assert store.log_count == 1
