# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

import base64
import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf import json_format
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # googleapis-common-protos has no stubs
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

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
from otel_backendai.otlp import wire
from otel_backendai.otlp.spans import encode_spans

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


def test_protobuf_is_not_needed() -> None:
    """Both encodings are read where it is not installed: no release of Backend.AI has to bring a certain version."""
    code = f"""
import sys
sys.modules["google"] = sys.modules["opentelemetry.proto"] = None
from otel_backendai.desk.otlp import *
print(len(decode_spans({traces_of()!r}, JSON)), len(decode_spans({encode(TRACES, PROTOBUF)!r}, PROTOBUF)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "1 1\n"


VALID = [encode(TRACES, PROTOBUF), encode(LOGS, PROTOBUF)]


@given(st.data())
def test_any_bytes_are_read_or_refused(data: st.DataObject) -> None:
    """Messages with bytes changed, cut out and put in, and anything else: spans, or 400, and nothing else."""
    body = bytearray(data.draw(st.sampled_from(VALID)))
    for _ in range(data.draw(st.integers(0, 3))):
        start = data.draw(st.integers(0, len(body)))
        body[start : start + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    for decode in (decode_spans, decode_logs):
        with suppress(OtlpError):
            decode(bytes(body), PROTOBUF)


def as_received(value: object) -> object:
    """What a receiver has of a value that was sent: lists for tuples."""
    if isinstance(value, (list, tuple)):
        return [as_received(item) for item in value]
    if isinstance(value, dict):
        return {key: as_received(item) for key, item in value.items()}
    return value


SCALARS = (
    st.none() | st.booleans() | st.text() | st.binary() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
)
VALUES_OF_ANY_TYPE = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=8
)


@given(st.dictionaries(st.text(), VALUES_OF_ANY_TYPE, max_size=4))
def test_any_value_arrives(attributes: dict[str, Any]) -> None:
    """What our exporter writes, the desk reads: all types, all depths."""
    context = SpanContext(1, 2, is_remote=False)
    body, _ = encode_spans([ReadableSpan("s", context, resource=Resource({}), attributes=attributes)])
    (span,) = decode_spans(body, PROTOBUF)
    assert span.attributes == as_received(attributes)


def nested_in_protobuf(depth: int) -> bytes:
    """A trace whose span has a list in a list and so on."""
    value = b"\x18\x01"
    for _ in range(depth - 1):
        value = wire.message(5, wire.message(1, value))
    attribute = wire.message(1, b"a") + wire.message(2, value)
    span = wire.message(1, b"1" * 16) + wire.message(2, b"1" * 8) + wire.message(9, attribute)
    return wire.message(1, wire.message(2, wire.message(2, span)))


def test_nesting_is_bounded_in_protobuf() -> None:
    """As in JSON: a hundred levels are read, more are refused before they can exhaust the stack."""
    assert decode_spans(nested_in_protobuf(100), PROTOBUF)
    for depth in (101, 20_000):
        with pytest.raises(OtlpError):
            decode_spans(nested_in_protobuf(depth), PROTOBUF)


def test_merging_and_repetition() -> None:
    """Protobuf's rules: of a repeated scalar the last one counts, a repeated message is merged, unknown is ignored."""
    identity = wire.message(1, b"1" * 16) + wire.message(2, b"1" * 8)
    status = wire.message(15, wire.text(2, "first")) + wire.message(15, wire.unsigned(3, 2))
    unknown = wire.unsigned(31, 5) + wire.fixed32(30, 5) + wire.fixed64(29, 5) + wire.message(28, b"\xff")
    wrong_type = wire.unsigned(5, 7)
    span = identity + wire.text(5, "first") + wire.text(5, "last") + status + unknown + wrong_type
    (read,) = decode_spans(wire.message(1, wire.message(2, wire.message(2, span))), PROTOBUF)
    assert (read.name, read.status, read.status_message) == ("last", "error", "first")


def test_a_gzip_body_of_many_members_is_refused() -> None:
    """Each of them costs time, and an empty one has twenty bytes."""
    with pytest.raises(OtlpError) as refused:
        decompress(gzip.compress(b"") * 1_001, "gzip")
    assert refused.value.http_status == 400
    assert decompress(gzip.compress(b"x") * 1_000, "gzip") == b"x" * 1_000


@pytest.mark.parametrize("media", [PROTOBUF, JSON])
def test_a_body_of_very_many_fields_is_refused(media: str) -> None:
    """Two bytes each in the body, hundreds in memory: a small body must not stop the desk for long, or fill it."""
    if media == JSON:
        body = b'{"resourceSpans": [' + b"{}," * 1_000_001 + b"{}]}"
    else:
        events = b"\x5a\x00" * 2_000_001  # field 11 of a span, empty
        span = wire.message(2, wire.message(2, events))
        body = wire.message(1, span)
    with pytest.raises(OtlpError) as refused:
        decode_spans(body, media)
    assert refused.value.http_status == 413
