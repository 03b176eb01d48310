# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A server that forks its workers as Backend.AI does. It knows nothing of telemetry.

python -m tests.integration.apps.forking_server PORT WORKERS
"""

import asyncio
import logging
import os
import random
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


@aiotools.server_context
async def worker(loop: asyncio.AbstractEventLoop, pidx: int, args: Sequence[Any]) -> Any:
    """One worker process."""
    # What some applications do at start; it must not make two workers produce the same trace IDs.
    random.seed(0)
    app = web.Application()
    app.router.add_get("/work", work)
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
    aiotools.start_server(worker, num_workers=int(sys.argv[2]), wait_timeout=5.0)
