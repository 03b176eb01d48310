# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The desk answers Jaeger's query API as Jaeger does: the same spans to both, the answers field by field.

`limit=0` and `error=true` are not asked: the desk differs on purpose, see `otel_backendai.desk.jaeger`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.backends.compare import Both, running_desk
from tests.backends.servers import post_otlp, run_jaeger
from tests.backends.spans import BEGIN, Value, event, export, link, pairs, span

FULL = "5b8efff798038103d269b633813fc60c"
SHORT = "0000000000000000d269b633813fc60c"
BROKEN = "aaaaaaaaaaaaaaaad269b633813fc60c"
SKEWED = "ccccccccccccccccd269b633813fc60c"
UNKNOWN = "bbbbbbbbbbbbbbbbd269b633813fc60c"
ROOT, CHILD, REMOTE = "00000000000000a1", "00000000000000a2", "00000000000000a3"

EVERY_TYPE: dict[str, Value] = {
    "text": "a",
    "empty": "",
    "html": "<a href='x'>&</a> \u2028",
    "unicode": "사용자 🚀",
    "yes": True,
    "no": False,
    "zero": 0,
    "safe": 2**53 - 1,
    "large": 2**53 + 1,
    "smallest": -(2**63),
    "half": 0.5,
    "whole": 3.0,
    "tiny": 1.5e-9,
    "huge": 1e25,
    "raw": b"\x00\xff",
    "nothing": None,
    "list": ["a", 1, 0.5, True, None, "<&>"],
    "map": {"b": 1, "a": {"deep": ["x", 2**60]}},
    "empty list": [],
    "backendai.request.id": "req-desk",
}

SCOPE = InstrumentationScope(name="otel_backendai", version="0.1.0", attributes=pairs({"in.scope": "x"}))

EXPORTS = [
    export(
        {"service.name": "manager", "host.name": "node-1", "process.pid": 7, "process.command_args": ["a", "b"]},
        span(
            "POST /session",
            FULL,
            ROOT,
            kind=Span.SPAN_KIND_SERVER,
            duration_ms=100.5004,
            attributes=EVERY_TYPE,
            events=[
                event("retry", {"event": "named by itself", "n": 1}, 3),
                event("exception", {"exception.type": "OSError", "exception.message": "no space"}, 2),
                event("bare", {}, 1),
            ],
            links=[link(SHORT, "00000000000000b1", {"lost": "x"}), link(BROKEN, "00000000000000c1")],
            status=Status(code=Status.STATUS_CODE_ERROR, message="no space left"),
            trace_state="a=b,c=d",
        ),
        span(
            "create_kernel",
            FULL,
            CHILD,
            ROOT,
            start_ms=10,
            duration_ms=50,
            kind=Span.SPAN_KIND_CLIENT,
            attributes={"backendai.request.id": "req-desk"},
            status=Status(code=Status.STATUS_CODE_OK),
            links=[link(FULL, ROOT), link(SHORT, "00000000000000b1", {"opentracing.ref_type": "child_of"})],
        ),
        span("publish", FULL, "00000000000000a4", ROOT, start_ms=11, kind=Span.SPAN_KIND_PRODUCER),
        scope=SCOPE,
    ),
    export(
        {"service.name": "agent", "host.name": "node-2"},
        # Its clock is late: it starts before the call that it answers.
        span("create_kernel", FULL, REMOTE, CHILD, start_ms=-500, duration_ms=20, kind=Span.SPAN_KIND_SERVER),
        span("inside", FULL, "00000000000000a5", REMOTE, start_ms=-499.9995, duration_ms=0.0004),
        span("process", FULL, "00000000000000a6", "00000000000000a4", start_ms=12, kind=Span.SPAN_KIND_CONSUMER),
    ),
    export({"service.name": "agent", "host.name": "node-2"}, span("unspecified", SHORT, "00000000000000b1", kind=0)),
    export(
        {"service.name": "storage-proxy"},
        span("orphan", BROKEN, "00000000000000c1", "00000000000000ff", attributes={"error": "a text"}),
        span("no duration", BROKEN, "00000000000000c2", "00000000000000c1", duration_ms=0),
        span("backwards", BROKEN, "00000000000000c3", "00000000000000c1", start_ms=5, duration_ms=-1),
        span("", BROKEN, "00000000000000c4", "00000000000000c1"),
        span(
            "linked nowhere",
            BROKEN,
            "00000000000000c5",
            links=[link("0" * 32, "0" * 16), link("0" * 32, "0" * 15 + "1")],
        ),
    ),
    export(
        {"service.name": "storage-proxy", "ip": "10.0.0.1"},
        span("root", SKEWED, "00000000000000d1", duration_ms=100),
        span("of the same host", SKEWED, "00000000000000d2", "00000000000000d1", start_ms=-50),
        span("linked inside", SKEWED, "00000000000000d3", links=[link(FULL, ROOT), link(SKEWED, "00000000000000d1")]),
        span("linked to nothing", SKEWED, "00000000000000d4", links=[link(SKEWED, "00000000000000df")]),
        span("typed event", SKEWED, "00000000000000d5", events=[event("e", {"event": 5, "a": 1}), event("", {"b": 1})]),
    ),
    export(
        {"service.name": "agent", "ip": "10.0.0.2"},
        span("of another host", SKEWED, "00000000000000d6", "00000000000000d1", start_ms=-50),
        span("below it", SKEWED, "00000000000000d7", "00000000000000d6", start_ms=-49, duration_ms=200),
    ),
    export({"host.name": "node-3"}, span("nameless", BROKEN, "00000000000000c6", "00000000000000c1")),
]


@pytest.fixture(scope="module")
def both(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """A desk and a Jaeger with the spans above and no others."""
    with run_jaeger(binaries, tmp_path_factory.mktemp("compared")) as jaeger, running_desk() as desk:
        for request in EXPORTS:
            post_otlp(desk.url, "traces", request)
            post_otlp(jaeger.otlp_http, "traces", request)
        yield Both(desk.url, jaeger)


def test_services(both: Both) -> None:
    """The same services."""
    desk, jaeger = both.answers("/api/services")
    assert desk == jaeger


@pytest.mark.parametrize("service", ["manager", "agent", "storage-proxy", "nobody"])
def test_operations(both: Both, service: str) -> None:
    """The same operations, by the path and with their kinds."""
    desk, jaeger = both.answers(f"/api/services/{service}/operations")
    assert desk == jaeger
    desk, jaeger = both.answers("/api/operations", service=service)
    assert desk == jaeger
    desk, jaeger = both.answers("/api/operations", service=service, spanKind="server")
    assert desk == jaeger


@pytest.mark.parametrize("trace_id", [FULL, SHORT, SHORT[16:], BROKEN, SKEWED, UNKNOWN, "nothing", "a" * 33])
def test_trace_by_id(both: Both, trace_id: str) -> None:
    """The same trace: every span, tag, reference, log, process and warning; and the same errors."""
    desk, jaeger = both.answers(f"/api/traces/{trace_id}")
    assert desk == jaeger


@pytest.mark.parametrize(
    "asked",
    [
        {"tags": '{"backendai.request.id":"req-desk"}'},
        {"tag": "backendai.request.id:req-desk"},
        {"tags": '{"backendai.request.id":"req-nobody"}'},
        {"tags": '{"host.name":"node-1"}'},
        {"tags": '{"exception.type":"OSError"}'},
        {"tags": '{"large":"9007199254740993"}'},
        {"tags": '{"yes":"true","half":"0.5"}'},
        {"operation": "create_kernel"},
        {"operation": "create_kernel", "tags": '{"text":"a"}'},
        {"minDuration": "60ms"},
        {"maxDuration": "60ms"},
        {"minDuration": "3s"},
        {"limit": 1},
        {"limit": "x"},
        {"tags": "{"},
        {"tags": '{"a":1}'},
        {"minDuration": "x"},
        {"minDuration": "2s", "maxDuration": "1s"},
        {"start": BEGIN // 1000 + 3_000_000},
        {"traceID": FULL},
        {"traceID": UNKNOWN},
    ],
    ids=str,
)
@pytest.mark.parametrize("service", ["manager", "agent"])
def test_search(both: Both, service: str, asked: dict[str, str | int]) -> None:
    """The same traces for the same search, and the same refusals."""
    desk, jaeger = both.answers("/api/traces", service=service, **asked)
    assert desk == jaeger


def test_search_without_service(both: Both) -> None:
    """A service is required."""
    desk, jaeger = both.answers("/api/traces", tags='{"backendai.request.id":"req-desk"}')
    assert desk == jaeger
