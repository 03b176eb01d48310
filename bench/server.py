# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The measured process: ``python -m bench.server VARIANT PEER_URL EXPORTER ENDPOINT``.

It reports its own CPU time. Read from outside, ``/proc`` gives it in steps of 10 ms only, and a sampler in the middle
of a run would cost more than some of what is compared.
"""

import asyncio
import gc
import os
import sys
import time
from pathlib import Path

from bench import control
from bench.scenarios import MARKER_HEADER
from bench.telemetry import Telemetry


async def main(variant: str, peer_url: str, exporter: str, endpoint: str) -> None:
    """Serve until the standard input ends."""
    telemetry = Telemetry(variant, exporter, endpoint)
    # After the instrumentation: stock OpenTelemetry replaces the name `web.Application`.
    from aiohttp import ClientSession, web

    async def hop(request: web.Request) -> web.Response:
        return web.json_response({"name": request.match_info["name"], "status": "RUNNING"})

    async def call(request: web.Request) -> web.Response:
        async with session.get(peer_url, headers={MARKER_HEADER: "secret"}) as answer:
            return web.json_response({"name": request.match_info["name"], "peer": await answer.text()})

    def measure() -> dict[str, float]:
        spans = telemetry.flush()
        until = time.process_time()
        gc.collect()
        resident = _resident_bytes()
        return {"cpu_until": until, "resident": resident, "spans": spans, "cpu_from": time.process_time()}

    application = web.Application()
    application.router.add_get("/hop/{name}", hop)
    application.router.add_get("/call/{name}", call)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with ClientSession() as session:
        await control.serve({"port": runner.addresses[0][1]}, measure)
    await runner.cleanup()


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
