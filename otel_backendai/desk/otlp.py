# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""OTLP/HTTP: from the body of an export request to spans and log lines, and the answers that the protocol wants.

Specification: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import json
import zlib

from otel_backendai.desk.model import LogLine, Span
from otel_backendai.desk.otlp_errors import MAX_BODY, MAX_MEMBERS, OtlpError, bad_request, too_large, unsupported
from otel_backendai.desk.otlp_json import logs_from_json, spans_from_json
from otel_backendai.desk.otlp_protobuf import logs_from_protobuf, spans_from_protobuf, status_to_protobuf

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
# 16 + MAX_WBITS reads the gzip format only; HTTP's "deflate" is the zlib format.
_PIECE = 65_536
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def media_type(content_type: str) -> str:
    """``PROTOBUF`` or ``JSON``. Raises ``OtlpError`` (415) for anything else."""
    name = content_type.partition(";")[0].strip().lower()
    if name not in (PROTOBUF, JSON):
        raise unsupported(f"the content type must be {PROTOBUF} or {JSON}")
    return name


def decompress(body: bytes, content_encoding: str, max_size: int = MAX_BODY) -> bytes:
    """The body without its Content-Encoding; stops as soon as it exceeds ``max_size``.

    Raises ``OtlpError``: 415 for an unknown encoding, 413 for a body that is too large, 400 for a broken one.
    """
    encoding = content_encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in _WINDOW_BITS:
        raise unsupported("the content encoding must be gzip, deflate or identity")
    try:
        return _inflate(body, _WINDOW_BITS[encoding], max_size)
    except zlib.error as error:
        raise bad_request(f"the body is not {encoding}") from error


def decode_spans(body: bytes, media: str) -> list[Span]:
    """The spans of an ExportTraceServiceRequest in encoding ``media``. Raises ``OtlpError``."""
    return spans_from_json(body) if media == JSON else spans_from_protobuf(body)


def decode_logs(body: bytes, media: str) -> list[LogLine]:
    """The records of an ExportLogsServiceRequest in encoding ``media``. Raises ``OtlpError``."""
    return logs_from_json(body) if media == JSON else logs_from_protobuf(body)


def success_body(media: str) -> bytes:
    """An Export*ServiceResponse that says everything was accepted: the empty message."""
    return b"{}" if media == JSON else b""


def status_body(error: OtlpError, media: str) -> bytes:
    """``error`` as a google.rpc.Status in encoding ``media``."""
    if media == JSON:
        return json.dumps({"code": error.grpc_code, "message": str(error)}).encode()
    return status_to_protobuf(error)


def _inflate(body: bytes, window_bits: int, max_size: int) -> bytes:
    parts: list[bytes] = []
    room, position, members = max_size, 0, 0
    # A gzip file may have several members, one after the other (RFC 1952 section 2.2).
    while position < len(body):
        members += 1
        if members > MAX_MEMBERS:
            raise bad_request(f"the compressed body has more than {MAX_MEMBERS} members")
        stream = zlib.decompressobj(window_bits)
        while not stream.eof:
            # Piece by piece: what is behind a member is copied.
            piece = body[position : position + _PIECE]
            if not piece:
                raise bad_request("the compressed body ends too early")
            part = stream.decompress(piece, room + 1)
            if len(part) > room:
                raise too_large(max_size)
            parts.append(part)
            room -= len(part)
            position += len(piece) - len(stream.unused_data)
    return b"".join(parts)
