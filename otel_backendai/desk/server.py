# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The desk as a web application and as a running server."""

import logging
from importlib import resources

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from otel_backendai.desk.access import guard_access
from otel_backendai.desk.forward import Forwarder
from otel_backendai.desk.jaeger import jaeger_routes
from otel_backendai.desk.query import query_routes
from otel_backendai.desk.receiver import receiver_routes
from otel_backendai.desk.store import Store

_CONTENT_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_INDEX = "index.html"
# How long a stop waits for open connections. They are loopback exports of milliseconds.
_CLOSE_TIMEOUT = 2.0


def build_app(store: Store, *, forward_to: str | None = None) -> web.Application:
    """The desk as an application over ``store``.

    Args:
        store: Where exports go and answers come from.
        forward_to: Base URL of another OTLP/HTTP receiver that gets a copy of every accepted export.

    It has to be served with ``auto_decompress=False`` (as ``Desk`` does): the size of compressed bodies is watched
    while they are unpacked, and their copies are forwarded as they came.
    """
    return _assemble(store, Forwarder(forward_to) if forward_to else None)


# aiohttp says in tracebacks that a client speaks gRPC, or went away. Errors of our own pass.
_SILENT = logging.getLogger("otel_backendai.desk.aiohttp")
_SILENT.addFilter(lambda record: record.exc_info is None or not _is_the_clients(record.exc_info[1]))


def _is_the_clients(error: BaseException | None) -> bool:
    return isinstance(error, (HttpProcessingError, ConnectionError))


class Desk:
    """A desk on a socket.

    ``url`` is of use between ``start`` and ``stop``. ``forwarder`` counts what was forwarded; it is ``None`` when
    nothing is to be.
    """

    def __init__(self, *, store: Store | None = None, forward_to: str | None = None) -> None:
        self.store = store or Store()
        self.url = ""
        self.forwarder = Forwarder(forward_to) if forward_to else None
        self._app = _assemble(self.store, self.forwarder)
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen. Port 0 takes a free one; ``url`` tells which. Raises ``OSError`` when the address cannot be had."""
        self._runner = web.AppRunner(self._app, access_log=None, auto_decompress=False, logger=_SILENT)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except BaseException:
            await self.stop()
            raise
        address, bound_port = self._runner.addresses[0][:2]
        self.url = f"http://[{address}]:{bound_port}" if ":" in address else f"http://{address}:{bound_port}"

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109  # it answers, it does not raise
        """Wait until everything that was accepted is forwarded. Whether it is; ``True`` when nothing is forwarded."""
        return await self.forwarder.drain(timeout) if self.forwarder is not None else True

    async def stop(self) -> None:
        """Stop listening. Does nothing on a desk that does not run."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        for site in list(runner.sites):
            await site.stop()
        if runner.server is not None:
            await runner.server.shutdown(_CLOSE_TIMEOUT)
        await runner.cleanup()


def _assemble(store: Store, forwarder: Forwarder | None) -> web.Application:
    app = web.Application(middlewares=[guard_access])
    app.add_routes(receiver_routes(store, forwarder))
    app.add_routes(jaeger_routes(store))
    app.add_routes(query_routes(store))
    app.add_routes([web.get("/healthz", _healthz), *_page_routes()])
    if forwarder is not None:
        app.cleanup_ctx.append(forwarder.run_beside)
    return app


async def _healthz(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _page_routes() -> list[web.RouteDef]:
    """The page: its files are read once and served from memory, so that no request ever names a path on the disk."""
    files = {
        entry.name: entry.read_bytes()
        for entry in (resources.files(__package__) / "page").iterdir()
        if entry.name[entry.name.rfind(".") :] in _CONTENT_TYPES
    }

    async def asset(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in files:
            raise web.HTTPNotFound
        return _file(name, files[name])

    async def index(_: web.Request) -> web.Response:
        return _file(_INDEX, files[_INDEX])

    return [
        web.get("/", index),
        web.get("/request/{request_id:.+}", index),
        web.get("/trace/{trace_id}", index),
        web.get("/page/{name}", asset),
    ]


def _file(name: str, content: bytes) -> web.Response:
    return web.Response(body=content, content_type=_CONTENT_TYPES[name[name.rfind(".") :]], charset="utf-8")
