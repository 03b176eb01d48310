# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Who may talk to the desk: on loopback there is no password, so a web page in the user's browser must be kept out.

Three doors are shut: a foreign page cannot read (no CORS headers), cannot write (an ``Origin`` that is not the desk's
is refused on everything but GET and HEAD), and cannot do either through a name of its own that resolves to loopback
(DNS rebinding: the ``Host`` header must name loopback). ``Host`` is checked here and used for nothing else.
"""

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_READING_METHODS = frozenset({"GET", "HEAD"})
_RESPONSE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # What is shown changes every second, and a page of an older version must not stay.
    "Cache-Control": "no-store",
}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def guard_access(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refuse what may not come in with 403, and put the security headers on every answer."""
    refusal = _refusal(request)
    try:
        response = web.Response(status=403, text=refusal) if refusal else await handler(request)
    except web.HTTPException as raised:
        raised.headers.update(_RESPONSE_HEADERS)
        raise
    response.headers.update(_RESPONSE_HEADERS)
    return response


def _refusal(request: web.Request) -> str:
    address, port = _own_address(request)
    if _is_loopback(address) and _host_name(request.headers.get("Host", "")) not in _LOOPBACK_NAMES | {address}:
        return "the Host header does not name this machine's loopback address"
    if request.method in _READING_METHODS or "Origin" not in request.headers:
        return ""
    origins = {f"http://{name}:{port}" for name in ("localhost", "127.0.0.1", "[::1]")}
    if request.headers["Origin"] in origins:
        return ""
    return "pages of other sites may not write here"


def _own_address(request: web.Request) -> tuple[str, int]:
    """Address and port at which this connection came in; ("", 0) when it is gone already."""
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else ("", 0)


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
