# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""How every component runs: worker processes of aiotools, each with its own event loop, as in Backend.AI."""

import asyncio
import inspect
import logging
import resource
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiotools
from aiohttp import web

from .logs import configure_logging
from .settings import read_settings

log = logging.getLogger(__name__)

OpenWorker = Callable[[int], AbstractAsyncContextManager[str]]

WAIT_TIMEOUT = 5.0
# aiohttp waits a minute for open connections by default; a component has to be gone before WAIT_TIMEOUT.
HTTP_SHUTDOWN_TIMEOUT = 1.0
# A thousand clients may connect at once; the default of 128 makes the kernel drop and retry their SYNs.
LISTEN_BACKLOG = 2048


@aiotools.server_context
async def _worker(
    loop: asyncio.AbstractEventLoop, worker_index: int, args: Sequence[Any]
) -> Any:  # an async generator; aiotools types it as what the decorator makes of it
    component, open_worker = args
    _configure_logging(component)
    async with open_worker(worker_index) as addresses:
        log.info("ready: worker %d listens on %s", worker_index, addresses)
        yield
    log.info("stopped: worker %d", worker_index)


def serve(component: str, open_worker: OpenWorker, *, num_workers: int = 1) -> None:
    """Run `component` until SIGINT or SIGTERM.

    Args:
        component: the name printed in log lines.
        open_worker: gives the context manager that is entered in each worker, with the worker's index; what it
            yields is the text of the addresses that the worker listens on.
        num_workers: how many worker processes share the work.
    """
    _configure_logging(component)
    _raise_open_files_limit()
    aiotools.start_server(
        _worker,
        num_workers=num_workers,
        stop_signals=(signal.SIGINT, signal.SIGTERM),
        args=(component, open_worker),
        wait_timeout=WAIT_TIMEOUT,
        **_event_loop_options(),
    )


def _configure_logging(component: str) -> None:
    settings = read_settings()
    configure_logging(component, settings.log_level, settings.log_format)


@asynccontextmanager
async def listening(app: web.Application, port: int, *, reuse_port: bool = False) -> AsyncIterator[str]:
    """Serve `app` on a loopback port while the context is open; yields the URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=HTTP_SHUTDOWN_TIMEOUT)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, backlog=LISTEN_BACKLOG, reuse_port=reuse_port).start()
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def _event_loop_options() -> dict[str, Any]:
    try:
        import uvloop
    except ImportError:
        return {}
    if "runner" in inspect.signature(aiotools.start_server).parameters:
        return {"runner": uvloop.run}
    # aiotools before 2.2.3 makes its loops by the event loop policy.
    uvloop.install()
    return {}


def _raise_open_files_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
