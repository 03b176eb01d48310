# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The query parameters of Jaeger's ``/api/traces``. Its own parser: ``query_parser.go`` of its query service."""

import json
import re
import time
from fractions import Fraction
from typing import Protocol

from otel_backendai.desk.search import TraceQuery

_DEFAULT_LIMIT = 100
_DEFAULT_LOOKBACK_NS = 2 * 24 * 3600 * 10**9
_UNITS_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # U+00B5, micro sign
    "μs": 10**3,  # U+03BC, Greek letter mu
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18}"
_DURATION_PART = re.compile(rf"({_NUMBER})({'|'.join(sorted(_UNITS_NS, key=len, reverse=True))})")
_TRACE_ID = re.compile(r"[0-9a-f]{1,32}")


class ParameterError(Exception):
    """A parameter that cannot be used; the text is for the caller."""


class Parameters(Protocol):
    """The part of a multi-dictionary that is used here."""

    def get(self, key: str, default: str, /) -> str:
        """The first value of ``key``."""
        ...

    def getall(self, key: str, default: list[str], /) -> list[str]:
        """All values of ``key``."""
        ...


def parse_trace_id(text: str) -> str:
    """The ID as the store knows it, 32 lower-case digits; leading zeros may be missing. Raises ``ParameterError``."""
    lowered = text.lower()
    if len(lowered) > 32:
        raise ParameterError("TraceID cannot be longer than 32 hex characters")
    if not _TRACE_ID.fullmatch(lowered):
        raise ParameterError("a trace ID is made of hex digits")
    return lowered.zfill(32)


def parse_trace_ids(parameters: Parameters) -> list[str]:
    """The trace IDs that a search asks for by name; empty when it asks by other means. Raises ``ParameterError``."""
    return [parse_trace_id(text) for text in parameters.getall("traceID", [])]


def parse_trace_query(parameters: Parameters) -> TraceQuery:
    """The search. Without ``start`` it looks back by ``lookback``, or two days. Raises ``ParameterError``."""
    service = parameters.get("service", "")
    if not service:
        raise ParameterError("parameter 'service' is required")
    now_ns = time.time_ns()
    least, most = _duration(parameters, "minDuration"), _duration(parameters, "maxDuration")
    if least is not None and most is not None and most < least:
        raise ParameterError("'maxDuration' should be greater than 'minDuration'")
    return TraceQuery(
        service=service,
        operation=parameters.get("operation", ""),
        tags=_tags(parameters),
        start_ns=_time(parameters, "start", now_ns - _lookback_ns(parameters)),
        end_ns=_time(parameters, "end", now_ns),
        min_duration_ns=least,
        max_duration_ns=most,
        limit=_limit(parameters),
    )


def parse_duration_ns(text: str) -> int:
    """A duration in Go's form (``1.2s``, ``100ms``, ``1h30m``, ``0``). Raises ``ParameterError``."""
    if text == "0":
        return 0
    total, position = Fraction(0), 0
    while part := _DURATION_PART.match(text, position):
        total += Fraction(part[1] if part[1] != "." else "0") * _UNITS_NS[part[2]]
        position = part.end()
    if not text or position != len(text):
        raise ParameterError("a duration is a number with a unit: ns, us, ms, s, m or h")
    return int(total)


def _duration(parameters: Parameters, name: str) -> int | None:
    text = parameters.get(name, "")
    if not text:
        return None
    try:
        # Zero asks for nothing, as in Jaeger.
        return parse_duration_ns(text) or None
    except ParameterError as error:
        raise ParameterError(f"unable to parse param '{name}': {error}") from error


def _lookback_ns(parameters: Parameters) -> int:
    # Jaeger's page sends this beside `start`, sometimes as a word ("custom"), and its server ignores it.
    try:
        return parse_duration_ns(parameters.get("lookback", ""))
    except ParameterError:
        return _DEFAULT_LOOKBACK_NS


def _time(parameters: Parameters, name: str, default_ns: int) -> int:
    text = parameters.get(name, "")
    return _integer(name, text) * 1000 if text else default_ns


def _limit(parameters: Parameters) -> int:
    text = parameters.get("limit", "")
    limit = _integer("limit", text) if text else _DEFAULT_LIMIT
    if limit <= 0:
        raise ParameterError("search depth must be greater than 0")
    return limit


def _integer(name: str, text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ParameterError(f"unable to parse param '{name}': not an integer")
    return int(text)


def _tags(parameters: Parameters) -> dict[str, str]:
    tags: dict[str, str] = {}
    for tag in parameters.getall("tag", []):
        key, colon, value = tag.partition(":")
        if not colon:
            raise ParameterError("malformed 'tag' parameter, expecting key:value")
        tags[key] = value
    for text in parameters.getall("tags", []):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ParameterError("malformed 'tags' parameter, cannot unmarshal JSON") from error
        if not isinstance(parsed, dict) or not all(isinstance(value, str) for value in parsed.values()):
            raise ParameterError("malformed 'tags' parameter, expecting a JSON object of strings")
        tags.update(parsed)
    return tags
