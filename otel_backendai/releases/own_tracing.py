# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Backend.AI's own OpenTelemetry set-up (``[otel]``) beside ours: one provider, one SERVER span per request.

From 25.8 on a worker with ``[otel]`` enabled makes providers, exporters and instrumentors late in its start; from 26.9
on also an HTTP middleware. Ours are there first, so a second provider would be refused by OpenTelemetry, and its
thread and gRPC channel stay behind. What the section says (endpoint, log level, name and version of the component) is
taken over where no ``OTEL_*`` variable says otherwise.
"""

import functools
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, NoOpTracer, Span, get_current_span

from otel_backendai.guard import Guard
from otel_backendai.names import SETTING_UPSTREAM_SPANS
from otel_backendai.patching import Hop

HOP = Hop("own_tracing")

MODULE = "ai.backend.logging.otel"
# Scopes of what Backend.AI traces itself: each of its modules asks for a tracer by its own name.
SCOPES = "ai.backend."
_CONTRIB_SERVER = "opentelemetry.instrumentation.aiohttp_server"
# A worker reads its configuration within this time, in seconds; until then spans wait to learn where to go.
_START = 20.0

_ADOPT = Guard("own tracing: adopt")


@HOP.wraps(MODULE, "apply_otel_tracer")
def _wrap_apply_otel_tracer(original: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(original)
    def apply_otel_tracer(spec: Any) -> None:
        # What it says was taken over with the loggers, which every release sets up first; 25.8 to 26.2 nothing else.
        if not (HOP.active and isinstance(trace.get_tracer_provider(), TracerProvider)):
            original(spec)

    return apply_otel_tracer


@HOP.wraps(MODULE, "apply_otel_loggers")
def _wrap_apply_otel_loggers(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    # The original also gives the formatters of existing handlers a JSON one, which changes no line: the only handlers
    # of a component are relays, which do not format.
    @functools.wraps(original)
    def apply_otel_loggers(loggers: Any, spec: Any) -> None:
        from otel_backendai.sdk import configurator

        if not (HOP.active and configurator.is_configured()):
            original(loggers, spec)
            return
        with _ADOPT:
            configurator.adopt(spec.endpoint, spec.to_resource().attributes)
        with _ADOPT:
            level = logging.getLevelNamesMapping().get(spec.log_level.upper(), logging.INFO)
            configurator.adopt_logs(spec.endpoint, level)

    return apply_otel_loggers


@HOP.wraps(MODULE, "build_otel_server_middleware")
def _wrap_build_middleware(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def build_otel_server_middleware(*args: Any, **kwargs: Any) -> Any:
        from otel_backendai.hops import http_server

        middleware = original(*args, **kwargs)

        @functools.wraps(middleware)  # with aiohttp's mark of a new-style middleware
        async def otel_server_middleware(request: Any, handler: Callable[[Any], Any]) -> Any:
            if http_server.is_serving():
                return await handler(request)
            return await middleware(request, handler)

        return otel_server_middleware

    return build_otel_server_middleware


@HOP.wraps(MODULE, "instrument_aiohttp_server")
def _wrap_instrument_server(original: Callable[[], None]) -> Callable[[], None]:
    @functools.wraps(original)
    def instrument_aiohttp_server() -> None:
        from otel_backendai.hops import http_server

        if not http_server.HOP.active:
            original()

    return instrument_aiohttp_server


@HOP.wraps(_CONTRIB_SERVER, "middleware")
def _wrap_contrib_middleware(original: Callable[..., Any]) -> Callable[..., Any]:
    # 26.4 and 26.8 insert this object. From 0.61 on it is made without a tracer when its module is imported, and then
    # answers 500 to everything, also after `instrument()`; 26.4.16 brings such a one. Without our own SERVER spans
    # (that hop can be disabled by name) it is asked to do its work, so one that can takes its place.
    contrib: Any = sys.modules[_CONTRIB_SERVER]
    is_older = not hasattr(contrib, "create_aiohttp_middleware")
    working: list[Callable[..., Any]] = []

    @functools.wraps(original)  # with aiohttp's mark of a new-style middleware
    async def middleware(request: Any, handler: Callable[[Any], Any]) -> Any:
        if is_older or not HOP.active:
            return await original(request, handler)
        if contrib.tracer is None:  # nobody has called `instrument()`
            return await handler(request)
        if not working:
            working.append(contrib.create_aiohttp_middleware(trace.get_tracer_provider()))
        return await working[0](request, handler)

    return middleware


@HOP.wraps(MODULE, "instrument_aiohttp_client")
def _wrap_instrument_client(original: Callable[[], None]) -> Callable[[], None]:
    @functools.wraps(original)
    def instrument_aiohttp_client() -> None:
        from otel_backendai.hops import http_client

        if not http_client.HOP.active:
            original()

    return instrument_aiohttp_client


class _MutedTracer(NoOpTracer):
    """Makes no spans; whatever is started below stays below the span that is current."""

    def start_span(self, name: str, context: Context | None = None, *args: Any, **kwargs: Any) -> Span:
        """Return a span that records nothing and stands for its parent."""
        return NonRecordingSpan(get_current_span(context).get_span_context())


_MUTED = _MutedTracer()


@HOP.wraps("opentelemetry.sdk.trace", "TracerProvider.get_tracer")
def _wrap_get_tracer(original: Callable[..., Any]) -> Callable[..., Any]:
    muted = os.environ.get(SETTING_UPSTREAM_SPANS, "").strip().lower() in ("0", "false")

    @functools.wraps(original)
    def get_tracer(self: Any, instrumenting_module_name: str, *args: Any, **kwargs: Any) -> Any:
        if muted and HOP.active and instrumenting_module_name.startswith(SCOPES):
            return _MUTED
        return original(self, instrumenting_module_name, *args, **kwargs)

    return get_tracer


def await_section() -> None:
    """Let a worker that may have an ``[otel]`` section collect its first spans until it has been read."""
    if hasattr(sys.modules.get(MODULE), "apply_otel_tracer"):
        from otel_backendai.sdk import late_target

        late_target.hold(_START)
