# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What single steps of a hop cost, in nanoseconds: ``python -m bench.micro`` prints JSON."""

import json
import logging
import os
import statistics
import sys
import timeit
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from opentelemetry.context import Context
from opentelemetry.instrumentation.aiohttp_client import create_trace_config
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue
from yarl import URL

from bench.telemetry import CountingExporter
from otel_backendai import request_id
from otel_backendai.hops.http_extraction import extract_request_headers
from otel_backendai.hops.logs import RequestIdFilter
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.propagators.event_metadata import extract_event, with_event_field
from otel_backendai.propagators.http_headers import HttpHeadersPropagator
from otel_backendai.propagators.rpc_body import extract_rpc_body, inject_rpc_body
from otel_backendai.sdk.id_generator import PrivateRandomIdGenerator
from otel_backendai.sdk.processors import QueueSpanProcessor, make_queue
from otel_backendai.sdk.span_processor import equip

_REPEATS = 7
_SECONDS = 0.03

_ATTRIBUTES: dict[str, AttributeValue] = {
    "url.path": "/session/1",
    "url.scheme": "http",
    "http.request.method": "GET",
    "server.address": "127.0.0.1",
    "server.port": 8080,
    "user_agent.original": "Backend.AI Client for Python 26.8",
}


def measure() -> dict[str, float]:
    """Return nanoseconds per call of each step: the median of some repeats."""
    return {name: _nanoseconds(call) for name, call in _steps().items()}


def _nanoseconds(call: Callable[[], object]) -> float:
    timer = timeit.Timer(call)
    number, seconds = timer.autorange()
    number = max(1, int(number * _SECONDS / seconds))
    return statistics.median(timer.repeat(_REPEATS, number)) / number * 1e9


def _steps() -> dict[str, Callable[[], object]]:
    provider = TracerProvider(id_generator=PrivateRandomIdGenerator())
    bare = provider.get_tracer("bench")
    equipped = TracerProvider(id_generator=PrivateRandomIdGenerator())
    equip(equipped)
    equipped.add_span_processor(QueueSpanProcessor(make_queue("OTEL_BSP", "bench-spans", CountingExporter, 5_000)))
    tracer = equipped.get_tracer("bench")

    minted = request_id.mint()
    context = request_id.bind(minted, Context())
    context = set_span_in_context(bare.start_span("parent", context), context)
    headers = CIMultiDictProxy(_headers(context))
    body: dict[str, object] = {"args": ["kernel-1"], "kwargs": {}}
    sent_body = inject_rpc_body(body, context)
    event: dict[object, object] = {b"name": b"kernel_started", b"source": b"i-agent", b"args": b"\x91\xa1x"}
    sent_event = with_event_field(event, context)
    record, log_filter, process = logging.makeLogRecord({}), RequestIdFilter(), os.getpid()

    def stamp() -> None:
        record.__dict__ = {"process": process}
        log_filter.filter(record)

    def scope() -> None:
        with SpanScope(tracer, "GET", SpanKind.SERVER, context, _ATTRIBUTES):
            pass

    def empty_scope() -> None:
        with SpanScope(None, "GET", SpanKind.SERVER, context):
            pass

    return {
        "request ID: mint": request_id.mint,
        "request ID: is_acceptable": lambda: request_id.is_acceptable(minted),
        "request ID: bind": lambda: request_id.bind(minted, context),
        "request ID: read": lambda: request_id.read(context),
        "HTTP: extract, all headers": lambda: extract_request_headers(headers),
        "HTTP: extract, no headers": lambda: extract_request_headers(_NO_HEADERS),
        "RPC: inject": lambda: inject_rpc_body(body, context),
        "RPC: extract": lambda: extract_rpc_body(sent_body),
        "event: inject": lambda: with_event_field(event, context),
        "event: extract": lambda: extract_event(sent_event),
        "span scope, no span": empty_scope,
        "span scope, SDK span": scope,
        "  of that: the SDK's span alone": lambda: _bare_span(bare, context),
        "log record: stamp": stamp,
        "contrib's CLIENT span, one call": _contrib_call(provider),
    }


_NO_HEADERS: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict({"Host": "127.0.0.1", "Accept": "*/*"}))


def _headers(context: Context) -> CIMultiDict[str]:
    from opentelemetry import propagate

    headers: CIMultiDict[str] = CIMultiDict({"Host": "127.0.0.1", "Accept": "*/*"})
    propagate.inject(headers, context)
    HttpHeadersPropagator().inject(headers, context)
    return headers


def _bare_span(tracer: Tracer, context: Context) -> None:
    tracer.start_span("GET", context, SpanKind.SERVER, _ATTRIBUTES).end()


def _contrib_call(provider: TracerProvider) -> Callable[[], object]:
    """What contrib's trace configuration does around one call, without aiohttp."""
    config = create_trace_config(tracer_provider=provider)
    config.freeze()
    session: Any = None
    url = URL("http://127.0.0.1:8080/volume/1")
    response: Any = SimpleNamespace(status=200, headers=CIMultiDict())

    async def around() -> None:
        state = config.trace_config_ctx()
        headers: CIMultiDict[str] = CIMultiDict()
        await config.on_request_start.send(session, state, aiohttp.TraceRequestStartParams("GET", url, headers))
        await config.on_request_end.send(session, state, aiohttp.TraceRequestEndParams("GET", url, headers, response))

    def call() -> None:
        # Nothing in it waits, so it ends at the first step, without an event loop.
        try:
            around().send(None)
        except StopIteration:
            return
        raise RuntimeError("contrib's trace configuration waits for something")

    return call


if __name__ == "__main__":
    json.dump(measure(), sys.stdout)
