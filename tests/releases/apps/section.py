# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A component that applies its ``[otel]`` section as the manager does, serves one request and says what it found.

``python -m tests.releases.apps.section ENDPOINT [plugin]``
"""

import asyncio
import dataclasses
import json
import logging
import sys
import threading
import uuid
from typing import Any

from opentelemetry import trace


def apply_section(endpoint: str, app: Any) -> None:
    """What `manager/server.py` does with its configuration, release by release."""
    from ai.backend.logging import BraceStyleAdapter, otel

    values = {
        "service_id": uuid.uuid4(),
        "service_name": "manager-by-section",
        "service_version": "1.2.3",
        "log_level": "INFO",
        "endpoint": endpoint,
        "service_instance_id": uuid.uuid4(),
        "service_instance_name": "manager-node",
        # Of which the SDK's processor says that it is an error.
        "max_queue_size": 16,
        "max_export_batch_size": 16,
    }
    names = [field.name for field in dataclasses.fields(otel.OpenTelemetrySpec)]
    BraceStyleAdapter.apply_otel(otel.OpenTelemetrySpec(**{name: values[name] for name in names}))
    if hasattr(otel, "build_otel_server_middleware"):
        otel.instrument_aiohttp_client()
        app.middlewares.insert(0, otel.build_otel_server_middleware())
    elif "max_queue_size" in names:  # 26.4 and 26.8; 25.15 instruments nothing
        from opentelemetry.instrumentation.aiohttp_server import middleware

        otel.instrument_aiohttp_server()
        otel.instrument_aiohttp_client()
        app.middlewares.insert(0, middleware)


async def serve_one(endpoint: str) -> int:
    """Serve one request; returns its status."""
    from aiohttp import ClientSession, web

    log = logging.getLogger("ai.backend.test")

    async def hello(request: web.Request) -> web.Response:
        log.info("in the request")
        own, library = trace.get_tracer("ai.backend.manager.actions.v2.tracing"), trace.get_tracer("of.a.library")
        with own.start_as_current_span("action"), library.start_as_current_span("below"):
            pass
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/hello", hello)
    apply_section(endpoint, app)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with ClientSession() as session:
            headers = {"X-Request-ID": "req-1"}
            async with session.get(f"http://127.0.0.1:{port}/hello", headers=headers) as response:
                return response.status
    finally:
        await runner.cleanup()


def main() -> None:
    """Print what an operator would want to know."""
    endpoint, *plugin = sys.argv[1:]
    if plugin:
        from otel_backendai.activation import activate

        activate()
    logging.basicConfig(level=logging.INFO)
    status = asyncio.run(serve_one(endpoint))
    provider: Any = trace.get_tracer_provider()
    said = {
        "status": status,
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "processors": [type(one).__name__ for one in provider._active_span_processor._span_processors],
    }
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
