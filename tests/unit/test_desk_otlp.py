# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

import base64
import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Mapping

import pytest
from google.protobuf import json_format
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # googleapis-common-protos has no stubs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_backendai.desk.model import Attributes, LogLine, Span, SpanEvent, SpanLink
from otel_backendai.desk.otlp import (
    JSON,
    PROTOBUF,
    decode_logs,
    decode_spans,
    decompress,
    media_type,
    status_body,
    success_body,
)
from otel_backendai.desk.otlp_errors import OtlpError, bad_request

TRACE_ID = "5b8efff798038103d269b633813fc60c"
SPAN_ID = "eee19b7ec3c1b174"
PARENT_ID = "eee19b7ec3c1b173"
RAW = base64.b64encode(b"\x00\xff").decode()

VALUES = [
    {"key": "text", "value": {"stringValue": "a"}},
    {"key": "true", "value": {"boolValue": True}},
    {"key": "false", "value": {"boolValue": False}},
    {"key": "int", "value": {"intValue": "-9223372036854775808"}},
    {"key": "double", "value": {"doubleValue": 1.5}},
    {"key": "infinite", "value": {"doubleValue": "Infinity"}},
    {"key": "bytes", "value": {"bytesValue": RAW}},
    {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "b"}]}}},
    {"key": "map", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": True}}]}}},
    {"key": "nothing", "value": {}},
]
DECODED_VALUES: Attributes = {
    "text": "a",
    "true": True,
    "false": False,
    "int": -(2**63),
    "double": 1.5,
    "infinite": float("inf"),
    "bytes": b"\x00\xff",
    "list": [1, "b"],
    "map": {"k": True},
    "nothing": None,
}
RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "manager"}}]}
SPAN = {
    "traceId": TRACE_ID,
    "spanId": SPAN_ID,
    "parentSpanId": PARENT_ID,
    "traceState": "a=b",
    "name": "POST /session",
    "kind": 2,
    "startTimeUnixNano": "1544712660000000001",
    "endTimeUnixNano": "1544712661000000002",
    "attributes": VALUES,
    "events": [{"timeUnixNano": "1544712660000000003", "name": "exception", "attributes": VALUES[:1]}],
    "links": [{"traceId": "0" * 31 + "1", "spanId": "0" * 15 + "2", "attributes": VALUES[:1]}],
    "status": {"code": 2, "message": "no space left"},
}
TRACES = {
    "resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"scope": {"name": "s", "version": "1"}, "spans": [SPAN]}]}]
}
DECODED_SPAN = Span(
    trace_id=TRACE_ID,
    span_id=SPAN_ID,
    parent_span_id=PARENT_ID,
    name="POST /session",
    kind="server",
    start_ns=1544712660000000001,
    end_ns=1544712661000000002,
    service="manager",
    status="error",
    status_message="no space left",
    trace_state="a=b",
    scope="s",
    scope_version="1",
    attributes=DECODED_VALUES,
    resource={"service.name": "manager"},
    events=(SpanEvent(1544712660000000003, "exception", {"text": "a"}),),
    links=(SpanLink("0" * 31 + "1", "0" * 15 + "2", {"text": "a"}),),
)
RECORD = {
    "timeUnixNano": "1544712660000000001",
    "severityNumber": 17,
    "severityText": "ERROR",
    "body": {"stringValue": "it failed"},
    "attributes": [{"key": "request_id", "value": {"stringValue": "req-1"}}],
    "traceId": TRACE_ID,
    "spanId": SPAN_ID,
}
LOGS = {
    "resourceLogs": [{"resource": RESOURCE, "scopeLogs": [{"scope": {"name": "ai.backend"}, "logRecords": [RECORD]}]}]
}
DECODED_LOG = LogLine(
    time_ns=1544712660000000001,
    severity="ERROR",
    body="it failed",
    service="manager",
    logger="ai.backend",
    trace_id=TRACE_ID,
    span_id=SPAN_ID,
    attributes={"request_id": "req-1"},
    resource={"service.name": "manager"},
)


def encode(request: Mapping[str, object], media: str) -> bytes:
    """The request in the encoding ``media``; for protobuf by Google's own reader of its JSON form."""
    if media == JSON:
        return json.dumps(request).encode()
    text = json.dumps(request)
    for identifier in (TRACE_ID, SPAN_ID, PARENT_ID, "0" * 31 + "1", "0" * 15 + "2"):
        text = text.replace(f'"{identifier}"', f'"{base64.b64encode(bytes.fromhex(identifier)).decode()}"')
    message = ExportTraceServiceRequest() if "resourceSpans" in request else ExportLogsServiceRequest()
    return json_format.Parse(text, message).SerializeToString()


def traces_of(**changes: object) -> bytes:
    span = {**SPAN, **changes}
    return json.dumps({"resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"spans": [span]}]}]}).encode()


@pytest.mark.parametrize("media", [JSON, PROTOBUF])
def test_both_encodings_give_the_same_span(media: str) -> None:
    """Every field and every type of attribute value arrives, the same from JSON and from protobuf."""
    assert decode_spans(encode(TRACES, media), media) == [DECODED_SPAN]


@pytest.mark.parametrize("media", [JSON, PROTOBUF])
def test_both_encodings_give_the_same_log_line(media: str) -> None:
    """Every field of a log record arrives, the same from JSON and from protobuf."""
    assert decode_logs(encode(LOGS, media), media) == [DECODED_LOG]


@pytest.mark.parametrize("media", [JSON, PROTOBUF])
def test_sparse_log_record(media: str) -> None:
    """Without a time the observed one counts, without a severity text the number, and a structured body is JSON."""
    record = {
        "observedTimeUnixNano": "7",
        "severityNumber": 14,
        "body": {"kvlistValue": {"values": [{"key": "k", "value": {"doubleValue": 2.0}}]}},
    }
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    assert [LogLine(7, "WARN", '{"k":2}', "missing-service-name")] == decode_logs(encode(logs, media), media)


@pytest.mark.parametrize("media", [JSON, PROTOBUF])
def test_empty_request_is_fine(media: str) -> None:
    """A request without spans is accepted and gives none."""
    assert decode_spans(encode({"resourceSpans": []}, media), media) == []


def test_json_ignores_what_it_does_not_know() -> None:
    """Unknown fields are passed over at every level, upper-case hex and numbers as numbers are understood."""
    request = json.loads(traces_of(traceId=TRACE_ID.upper(), startTimeUnixNano=5, unknown={"x": [1]}, kind=99))
    request["unknown"] = request["resourceSpans"][0]["unknown"] = None
    (span,) = decode_spans(json.dumps(request).encode(), JSON)
    assert (span.trace_id, span.start_ns, span.kind) == (TRACE_ID, 5, "")


@pytest.mark.parametrize(
    ("value", "service"),
    [
        ([], "missing-service-name"),
        ([{"key": "service.name", "value": {"intValue": "5"}}], "service-name-wrong-type"),
        ([{"key": "service.name", "value": {"stringValue": ""}}], "empty-service-name"),
    ],
)
def test_resource_without_a_service_name(value: object, service: str) -> None:
    """Every span has some service, so that it is found; the words are Jaeger's."""
    request = json.loads(traces_of())
    request["resourceSpans"][0]["resource"] = {"attributes": value}
    assert service == decode_spans(json.dumps(request).encode(), JSON)[0].service


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"resourceSpans": 5}',
        b'{"resourceSpans": [5]}',
        b"[" * 200_000,
        b'{"resourceSpans": ' + b"[" * 200_000,
        traces_of(traceId=""),
        traces_of(traceId="0" * 32),
        traces_of(traceId="xyz"),
        traces_of(traceId=TRACE_ID + "00"),
        traces_of(traceId=5),
        traces_of(spanId=None),
        traces_of(name=["a"]),
        traces_of(startTimeUnixNano="1e5"),
        traces_of(startTimeUnixNano="9" * 5000),
        traces_of(startTimeUnixNano=10**30),
        traces_of(startTimeUnixNano=True),
        traces_of(startTimeUnixNano=1.5),
        traces_of(kind="SPAN_KIND_SERVER"),
        traces_of(status="bad"),
        traces_of(attributes={"a": "b"}),
        traces_of(attributes=[{"key": 5, "value": {"stringValue": "a"}}]),
        traces_of(attributes=[{"key": "a", "value": {"stringValue": 5}}]),
        traces_of(attributes=[{"key": "a", "value": {"bytesValue": "%%%"}}]),
        traces_of(attributes=[{"key": "a", "value": {"bytesValue": "ä"}}]),
        traces_of(attributes=[{"key": "a", "value": {"doubleValue": "x"}}]),
        traces_of(attributes=[{"key": "a", "value": {"doubleValue": 10**400}}]),
        traces_of(links=[{"traceId": "1"}]),
    ],
)
def test_bad_json_is_a_bad_request(body: bytes) -> None:
    """Whatever is wrong with a JSON body, the answer is 400, and it does not repeat what was sent."""
    with pytest.raises(OtlpError) as caught:
        decode_spans(body, JSON)
    assert caught.value.http_status == 400
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize("body", [b"\xff", b"{}", b"\x0a\xff\xff\xff\xff\x7f", b"\x0a\x05abc"])
def test_bad_protobuf_is_a_bad_request(body: bytes) -> None:
    """A body that protobuf cannot read is answered with 400."""
    for decode in (decode_spans, decode_logs):
        with pytest.raises(OtlpError) as caught:
            decode(body, PROTOBUF)
        assert caught.value.http_status == 400


@pytest.mark.parametrize(("trace_id", "span_id"), [(b"", b"12345678"), (bytes(16), b"12345678"), (b"1" * 15, b"1" * 8)])
def test_protobuf_span_without_identity_is_a_bad_request(trace_id: bytes, span_id: bytes) -> None:
    """A span that nobody could find again is refused, as is an ID of a wrong length."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(trace_id=trace_id, span_id=span_id)
    with pytest.raises(OtlpError):
        decode_spans(request.SerializeToString(), PROTOBUF)


def nested(depth: int) -> object:
    value: object = {"intValue": "1"}
    for _ in range(depth - 1):
        value = {"arrayValue": {"values": [value]}}
    return value


def test_nesting_is_bounded() -> None:
    """Values nested as deep as protobuf allows are read; deeper ones are refused before they can exhaust the stack."""
    assert decode_spans(traces_of(attributes=[{"key": "a", "value": nested(100)}]), JSON)
    with pytest.raises(OtlpError):
        decode_spans(traces_of(attributes=[{"key": "a", "value": nested(101)}]), JSON)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("", b"body"),
        ("identity", b"body"),
        ("gzip", gzip.compress(b"body")),
        ("GZIP", gzip.compress(b"bo") + gzip.compress(b"dy")),
        ("deflate", zlib.compress(b"body")),
    ],
)
def test_content_encodings(encoding: str, packed: bytes) -> None:
    """gzip (several members too), deflate and identity are unpacked."""
    assert decompress(packed, encoding) == b"body"


@pytest.mark.parametrize(
    ("encoding", "packed", "status"),
    [
        ("br", b"body", 415),
        ("gzip, gzip", b"body", 415),
        ("gzip", b"body", 400),
        ("deflate", gzip.compress(b"body"), 400),
        ("gzip", gzip.compress(b"body")[:-9], 400),
    ],
)
def test_bad_content_encodings(encoding: str, packed: bytes, status: int) -> None:
    """An unknown encoding is 415, a body that is not in its encoding or not complete is 400."""
    with pytest.raises(OtlpError) as caught:
        decompress(packed, encoding)
    assert status == caught.value.http_status


def test_body_may_have_exactly_the_maximal_size() -> None:
    """The bound holds at n and n + 1, over all members of a gzip body together."""
    assert bytes(1000) == decompress(gzip.compress(bytes(1000)), "gzip", 1000)
    for packed in (gzip.compress(bytes(1001)), gzip.compress(bytes(600)) + gzip.compress(bytes(401))):
        with pytest.raises(OtlpError) as caught:
            decompress(packed, "gzip", 1000)
        assert caught.value.http_status == 413


def test_content_types() -> None:
    """The two media types are known with parameters and in any case, everything else is 415."""
    assert media_type("Application/JSON; charset=utf-8") == JSON
    assert media_type("application/x-protobuf") == PROTOBUF
    for name in ("", "text/plain", "application/grpc", "application/jsonx"):
        with pytest.raises(OtlpError) as caught:
            media_type(name)
        assert caught.value.http_status == 415


def test_answers() -> None:
    """Success is the empty response message, failure a google.rpc.Status, each in the encoding of the request."""
    assert (success_body(JSON), success_body(PROTOBUF)) == (b"{}", b"")
    assert json.loads(status_body(bad_request("bad"), JSON)) == {"code": 3, "message": "bad"}
    assert Status(code=3, message="bad") == Status.FromString(status_body(bad_request("bad"), PROTOBUF))


def test_json_works_without_protobuf() -> None:
    """Where protobuf is not installed JSON is read all the same, and a protobuf request is told what is missing."""
    code = f"""
import sys
sys.modules["google"] = None
from otel_backendai.desk.otlp import *
print(len(decode_spans({traces_of()!r}, JSON)))
try:
    media_type(PROTOBUF)
except Exception as error:
    print(error.http_status, error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "1\n415 protobuf is not installed here: send JSON, or install otel-backendai[desk]\n"
