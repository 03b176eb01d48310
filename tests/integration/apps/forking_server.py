# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A server that forks (or spawns) its workers as Backend.AI does. It knows nothing of telemetry.

python -m tests.integration.apps.forking_server PORT WORKERS [spawn]
"""

import asyncio
import logging
import multiprocessing
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import aiotools
from aiohttp import web

log = logging.getLogger("forking_server")


async def work(request: web.Request) -> web.Response:
    """Answer the worker's pid and log a line."""
    log.info("working on %s", request.query.get("n"))
    return web.json_response({"pid": os.getpid()})


async def child(request: web.Request) -> web.Response:
    """Answer which component a Python process of the worker's takes itself for."""
    code = "from otel_backendai.component import component; print(component())"
    environment = {name: value for name, value in os.environ.items() if name != "OTEL_BACKENDAI_COMPONENT"}
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return web.json_response({"pid": os.getpid(), "component": done.stdout.strip()})


@aiotools.server_context
async def worker(loop: asyncio.AbstractEventLoop, pidx: int, args: Sequence[Any]) -> Any:
    """One worker process."""
    # What some applications do at start; it must not make two workers produce the same trace IDs.
    random.seed(0)
    app = web.Application()
    app.router.add_get("/work", work)
    app.router.add_get("/child", child)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1]), reuse_port=True).start()
    try:
        yield
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    log.info("parent %d starts", os.getpid())
    if "spawn" in sys.argv:
        multiprocessing.set_start_method("spawn")
    aiotools.start_server(worker, num_workers=int(sys.argv[2]), wait_timeout=5.0)
