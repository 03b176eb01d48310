# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Which source answers where."""

import aiohttp

from otel_backendai.cli.trace_desk import DeskSource
from otel_backendai.cli.trace_http import JSONClient
from otel_backendai.cli.trace_jaeger import JaegerSource
from otel_backendai.cli.trace_source import DESK, JAEGER, SourceError, TraceSource

DEFAULT_ENDPOINTS = {DESK: "http://127.0.0.1:4318", JAEGER: "http://127.0.0.1:16686"}
_NAMES = {DESK: "desk", JAEGER: "Jaeger query API"}


async def open_source(session: aiohttp.ClientSession, kind: str | None, endpoint: str | None) -> TraceSource:
    """The source to ask.

    Args:
        session: What it is asked with.
        kind: ``desk`` or ``jaeger``; ``None`` takes what answers. A desk answers as both.
        endpoint: Its base URL; ``None`` tries the usual ports of this machine.

    Raises:
        SourceError: Nothing answers there, or something else does.
    """
    if endpoint is not None:
        return await _source_at(JSONClient(session, endpoint), (kind,) if kind else (DESK, JAEGER))
    if kind is not None:
        return await _source_at(JSONClient(session, DEFAULT_ENDPOINTS[kind]), (kind,))
    for usual_kind, usual_endpoint in DEFAULT_ENDPOINTS.items():
        try:
            return await _source_at(JSONClient(session, usual_endpoint), (usual_kind,))
        except SourceError:
            continue
    tried = " and ".join(f"no {_NAMES[kind]} at {endpoint}" for kind, endpoint in DEFAULT_ENDPOINTS.items())
    raise SourceError(f"there is {tried}; name one with --endpoint")


async def _source_at(client: JSONClient, kinds: tuple[str, ...]) -> TraceSource:
    statuses: list[str] = []
    if DESK in kinds and await _answers_with(client, "/api/requests?limit=1", "requests", statuses):
        return DeskSource(client)
    if JAEGER in kinds and await _answers_with(client, "/api/services", "data", statuses):
        return JaegerSource(client)
    # The status tells a wrong address from a Jaeger behind a log-in.
    names, answered = " and no ".join(_NAMES[kind] for kind in kinds), " and ".join(dict.fromkeys(statuses))
    raise SourceError(f"{client.shown} is no {names} (it answered {answered})")


async def _answers_with(client: JSONClient, path: str, key: str, statuses: list[str]) -> bool:
    # Whatever the status: a Jaeger whose storage is down is one, and has to say so itself.
    status, body = await client.get(path)
    statuses.append(str(status))
    # Jaeger writes null for an empty list.
    return isinstance(body, dict) and isinstance(body.get(key, ""), (list, type(None)))
