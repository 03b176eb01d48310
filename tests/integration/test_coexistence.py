# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Beside other loaders and OpenTelemetry's own aiohttp-server: one SERVER span per request, and everything restored."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.instrumentation import aiohttp_server as contrib
from opentelemetry.trace import SpanKind

from otel_backendai.hops.contrib_server import GUARDING, ServedByUs
from tests.conftest import HOPS, Telemetry
from tests.integration.conftest import ServeApp

LAUNCHER = Path(sys.executable).parent / "opentelemetry-instrument"

# Subclassing web.Application, contrib's way, is what aiohttp warns of.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class .* from web.Application:DeprecationWarning")


def build_app() -> web.Application:
    """A root with a sub-application, made by whatever ``web.Application`` is now."""

    async def ok(request: web.Request) -> web.Response:
        return web.Response()

    sub = web.Application()
    sub.router.add_get("/deep", ok)
    root = web.Application()
    root.router.add_get("/ok", ok)
    root.add_subapp("/sub", sub)
    return root


@pytest.fixture
def contrib_server(telemetry: Telemetry) -> Iterator[contrib.AioHttpServerInstrumentor]:
    """Contrib's instrumentor, active."""
    instrumentor = contrib.AioHttpServerInstrumentor()
    instrumentor.instrument(tracer_provider=telemetry.provider)
    yield instrumentor
    instrumentor.uninstrument()


async def visit(base: str, *paths: str) -> list[int]:
    """Request each path; returns the statuses."""
    statuses = []
    async with aiohttp.ClientSession() as session:
        for path in paths:
            async with session.get(base + path) as response:
                statuses.append(response.status)
    return statuses


async def test_contribs_middleware_passes_through_while_ours_is_active(
    telemetry: Telemetry, contrib_server: contrib.AioHttpServerInstrumentor, serve: ServeApp
) -> None:
    """Contrib puts a middleware into every application, sub-applications too; one SERVER span per request stays."""
    base = await serve(build_app())
    assert await visit(base, "/ok", "/sub/deep", "/nowhere") == [200, 200, 404]
    assert len(telemetry.of_kind(SpanKind.SERVER)) == 3
    scopes = {span.instrumentation_scope for span in telemetry.of_kind(SpanKind.SERVER)}
    assert {scope.name for scope in scopes if scope is not None} == {"otel_backendai.http_server"}


async def test_contrib_works_again_once_ours_is_off(
    telemetry: Telemetry, contrib_server: contrib.AioHttpServerInstrumentor, serve: ServeApp
) -> None:
    """Its list of excluded URLs and its method are its own again."""
    base = await serve(build_app())
    guarded = contrib._excluded_urls
    assert isinstance(guarded, ServedByUs)
    for hop in HOPS:
        hop.uninstall()
    GUARDING.uninstall()
    assert contrib._excluded_urls is guarded.excluded
    assert contrib.AioHttpServerInstrumentor._instrument.__module__ == contrib.__name__
    assert await visit(base, "/ok") == [200]


async def test_the_exported_middleware_object_is_healed(telemetry: Telemetry, serve: ServeApp) -> None:
    """Backend.AI inserts contrib's module-level ``middleware``, which from 0.61 on answers 500 to every request."""

    async def ok(request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(middlewares=[contrib.middleware])
    app.router.add_get("/ok", ok)
    assert await visit(await serve(app), "/ok") == [200]
    assert telemetry.only(SpanKind.SERVER)


async def test_switching_a_hop_on_twice_changes_nothing(telemetry: Telemetry, serve: ServeApp) -> None:
    """A second loader finds everything done."""
    from otel_backendai.instrumentors import BY_NAME

    for instrumentor in BY_NAME.values():
        instrumentor().instrument()
    try:
        assert await visit(await serve(build_app()), "/ok") == [200]
        assert telemetry.only(SpanKind.SERVER)
    finally:
        for instrumentor in BY_NAME.values():
            instrumentor().uninstrument()


PROGRAM = """
import asyncio, json, sys
from otel_backendai.activation import activate
if "activate" in sys.argv:
    activate()
    activate()
import aiohttp
from aiohttp import web
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from otel_backendai.hops.contrib_server import GUARDING, ServedByUs

exporter = InMemorySpanExporter()
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))

async def ok(request):
    return web.Response()

async def main():
    sub = web.Application()
    sub.router.add_get("/deep", ok)
    app = web.Application()
    app.add_subapp("/sub", sub)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://%s:%d/sub/deep" % runner.addresses[0][:2]
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            header = response.headers.getall("X-Backend-Request-ID")
    await runner.cleanup()
    kinds = [span.kind.name for span in exporter.get_finished_spans()]
    ids = [span.attributes.get("backendai.request.id") for span in exporter.get_finished_spans()]
    print(json.dumps({"header": header, "kinds": kinds, "ids": ids}))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ([str(LAUNCHER), sys.executable], []),
        ([str(LAUNCHER), sys.executable], ["activate"]),
        ([sys.executable], ["activate"]),
    ],
    ids=["opentelemetry-instrument", "opentelemetry-instrument and activate()", "activate() alone"],
)
def test_each_way_in_and_two_at_once_give_one_span_per_operation(command: list[str], arguments: list[str]) -> None:
    """opentelemetry-instrument loads contrib's client and server instrumentors as well, in whatever order."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment = {
        **clean,
        "OTEL_BACKENDAI_COMPONENT": "manager",
        "OTEL_PYTHON_CONFIGURATOR": "backendai",
        "OTEL_TRACES_EXPORTER": "none",
    }
    finished = subprocess.run(
        [*command, "-c", PROGRAM, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr
    seen = json.loads(finished.stdout.splitlines()[-1])
    assert sorted(seen["kinds"]) == ["CLIENT", "SERVER"], finished.stderr
    assert len(seen["header"]) == 1
    assert seen["header"][0] in seen["ids"]
    assert "Traceback" not in finished.stderr
