# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The desk's own JSON API, for its page and for the command line: recent requests, one request, one trace.

Spans and log lines are sent as the model has them. Times are integers (nanoseconds); attribute values that JSON or a
browser cannot hold are sent as text: bytes as base64, integers beyond 2^53, NaN and the infinities.
"""

from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite

from aiohttp import web

from otel_backendai.desk.attribute_text import MAX_SAFE_INTEGER, attribute_text
from otel_backendai.desk.jaeger_model import JSONObject, JSONValue
from otel_backendai.desk.jaeger_params import ParameterError, parse_trace_id
from otel_backendai.desk.model import Attributes, AttributeValue, LogLine, Span
from otel_backendai.desk.store import Store
from otel_backendai.names import REQUEST_ID

_DEFAULT_LIMIT = 50
_MAX_LIMIT = 1000


def query_routes(store: Store) -> list[web.RouteDef]:
    """The routes of the desk's own API, answered from ``store``."""
    api = _OwnApi(store)
    return [
        web.get("/api/requests", api.requests),
        # A request ID may hold slashes.
        web.get("/api/requests/{request_id:.+}", api.request),
        web.get("/api/trace-view/{trace_id}", api.trace),
    ]


class _OwnApi:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def requests(self, request: web.Request) -> web.Response:
        """``{"requests": [...]}``, the latest first; ``limit`` at most 1000."""
        text = request.query.get("limit", str(_DEFAULT_LIMIT))
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            return _error(400, "limit must be a number")
        summaries = self._store.requests(min(int(text), _MAX_LIMIT))
        return web.json_response({"requests": [asdict(summary) for summary in summaries]})

    async def request(self, request: web.Request) -> web.Response:
        """``{"request_id", "traces", "logs"}``; 404 when nothing is known of the request."""
        request_id = request.match_info[REQUEST_ID]
        trace_ids = self._store.traces_of_request(request_id)
        logs = self._store.logs_of_request(request_id)
        if not trace_ids and not logs:
            return _error(404, "nothing is known of this request")
        return self._view(request_id, trace_ids, logs)

    async def trace(self, request: web.Request) -> web.Response:
        """The same of one trace; ``request_id`` is the first that it names, or ""."""
        try:
            trace_id = parse_trace_id(request.match_info["trace_id"])
        except ParameterError as error:
            return _error(400, str(error))
        logs = self._store.logs_of_trace(trace_id)
        # A trace that was not sampled has its log lines all the same.
        known = [trace_id] if self._store.trace(trace_id) else []
        if not known and not logs:
            return _error(404, "nothing is known of this trace")
        request_ids = self._store.requests_of_trace(trace_id)
        return self._view(request_ids[0] if request_ids else "", known, logs)

    def _view(self, request_id: str, trace_ids: list[str], logs: list[LogLine]) -> web.Response:
        traces = [
            {"trace_id": trace_id, "spans": [_span(span) for span in self._store.trace(trace_id)]}
            for trace_id in trace_ids
        ]
        return web.json_response(
            {REQUEST_ID: request_id, "traces": traces, "logs": [_log(log) for log in logs]},
        )


def _span(span: Span) -> JSONObject:
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "name": span.name,
        "kind": span.kind,
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "service": span.service,
        "status": span.status,
        "status_message": span.status_message,
        "trace_state": span.trace_state,
        "scope": span.scope,
        "scope_version": span.scope_version,
        "attributes": _attributes(span.attributes),
        "resource": _attributes(span.resource),
        "events": [
            {"time_ns": event.time_ns, "name": event.name, "attributes": _attributes(event.attributes)}
            for event in span.events
        ],
        "links": [
            {"trace_id": link.trace_id, "span_id": link.span_id, "attributes": _attributes(link.attributes)}
            for link in span.links
        ],
    }


def _log(log: LogLine) -> JSONObject:
    return {
        "time_ns": log.time_ns,
        "severity": log.severity,
        "body": log.body,
        "service": log.service,
        "logger": log.logger,
        "trace_id": log.trace_id,
        "span_id": log.span_id,
        "attributes": _attributes(log.attributes),
        "resource": _attributes(log.resource),
    }


def _attributes(attributes: Attributes) -> JSONObject:
    return {key: _value(value) for key, value in attributes.items()}


def _value(value: AttributeValue) -> JSONValue:
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_SAFE_INTEGER else str(value)
    if isinstance(value, float):
        return value if isfinite(value) else attribute_text(value)
    if isinstance(value, bytes):
        return attribute_text(value)
    if isinstance(value, Mapping):
        return _attributes(value)
    return [_value(item) for item in value]


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
