# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Jaeger's query API over the store, so that Jaeger's clients can read the desk.

Compared with Jaeger 2.13 field by field (``make test-backends``). The differences, all on purpose: lists are sorted and
never ``null``; errors are sent as ``application/json``, without the words of Go's parsers; a ``limit`` of zero is the
caller's error (400, there 500); the tag ``error=true`` finds failed spans (there it finds successful ones); scope
attributes are not kept and so not searched; ``telemetry.*`` stay tags of the span that carries them (there they move to
its process); ``lookback`` counts when ``start`` is absent.
"""

from collections.abc import Iterable, Sequence

from aiohttp import web

from otel_backendai.desk.jaeger_model import JSONObject, JSONValue, jaeger_trace, jaeger_trace_id
from otel_backendai.desk.jaeger_params import ParameterError, parse_trace_id, parse_trace_ids, parse_trace_query
from otel_backendai.desk.store import Store

_NOT_FOUND = "trace not found"


def jaeger_routes(store: Store) -> list[web.RouteDef]:
    """The routes of Jaeger's query API, answered from ``store``."""
    api = _QueryApi(store)
    return [
        web.get("/api/services", api.services),
        web.get("/api/services/{service}/operations", api.operation_names),
        web.get("/api/operations", api.operations),
        web.get("/api/traces", api.search),
        web.get("/api/traces/{trace_id}", api.trace),
    ]


class _QueryApi:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def services(self, _: web.Request) -> web.Response:
        return _answer_all(self._store.services())

    async def operation_names(self, request: web.Request) -> web.Response:
        operations = self._store.operations(request.match_info["service"])
        return _answer_all(list(dict.fromkeys(name for name, _ in operations)))

    async def operations(self, request: web.Request) -> web.Response:
        service = request.query.get("service", "")
        if not service:
            return _error(400, "parameter 'service' is required")
        wanted = request.query.get("spanKind", "")
        operations = self._store.operations(service)
        return _answer_all([{"name": name, "spanKind": kind} for name, kind in operations if wanted in ("", kind)])

    async def search(self, request: web.Request) -> web.Response:
        try:
            trace_ids = parse_trace_ids(request.query)
            if trace_ids:
                return self._named(trace_ids)
            found = self._store.find_traces(parse_trace_query(request.query))
        except ParameterError as error:
            return _error(400, str(error))
        return _answer(self._traces(found))

    async def trace(self, request: web.Request) -> web.Response:
        try:
            trace_id = parse_trace_id(request.match_info["trace_id"])
        except ParameterError as error:
            return _error(400, str(error))
        traces = self._traces([trace_id])
        return _answer(traces) if traces else _error(404, _NOT_FOUND)

    def _named(self, trace_ids: Sequence[str]) -> web.Response:
        missing = [trace_id for trace_id in trace_ids if not self._store.trace(trace_id)]
        errors: list[JSONValue] = [{"msg": _NOT_FOUND, "traceID": jaeger_trace_id(trace_id)} for trace_id in missing]
        return _answer(self._traces(trace_ids), errors=errors or None)

    def _traces(self, trace_ids: Iterable[str]) -> list[JSONObject]:
        return [jaeger_trace(spans) for spans in map(self._store.trace, trace_ids) if spans]


def _answer_all(items: Sequence[JSONValue]) -> web.Response:
    return _answer(items, total=len(items))


def _answer(
    items: Sequence[JSONValue] | None, *, total: int = 0, errors: Sequence[JSONValue] | None = None, status: int = 200
) -> web.Response:
    # A search leaves `total` at zero, and nothing is ever paged: so does Jaeger.
    body = {"data": items, "total": total, "limit": 0, "offset": 0, "errors": errors}
    return web.json_response(body, status=status)


def _error(code: int, message: str) -> web.Response:
    return _answer(None, errors=[{"code": code, "msg": message}], status=code)
