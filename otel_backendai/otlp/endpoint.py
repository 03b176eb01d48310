# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Where a receiver is: its URL taken apart, credentials and a proxy on the way to it."""

import base64
import ssl
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from otel_backendai.otlp.settings import Settings

_PORTS = {"http": 80, "https": 443}
# Never through a proxy, whose loopback is another one. For everything else there is `NO_PROXY`.
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Address:
    """A host and port, and the credentials for it as the value of an authorization header."""

    secure: bool
    host: str
    port: int
    authorization: str | None


@dataclass(frozen=True)
class Endpoint:
    """A receiver.

    Attributes:
        address: The receiver's.
        target: What stands in the request line: path and query.
        base: Scheme, host and port, without credentials.
        path: Without the query, which may hold credentials.
        proxy: On the way to it, if there is one.
    """

    address: Address
    target: str
    base: str
    path: str
    proxy: Address | None


def read_endpoint(url: str) -> Endpoint:
    """Take ``url`` apart. The proxy is that of ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY``.

    Raises:
        ValueError: The URL is none of HTTP or HTTPS. The text does not repeat it.
    """
    parts, address = _split(url, "the OTLP endpoint")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii() or any(character <= " " for character in target):
        raise ValueError("the path of the OTLP endpoint is not percent-encoded")
    host = f"[{address.host}]" if ":" in address.host else address.host
    base = f"{parts.scheme}://{host}:{address.port}"
    return Endpoint(address, target, base, parts.path, _proxy(parts.scheme, address))


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Return how receivers are verified, and what is shown to them.

    Raises:
        OSError: A file cannot be read (``ssl.SSLError``: is no certificate, or no key for it).
    """
    context = ssl.create_default_context(cafile=settings.certificate)
    if settings.client_certificate:
        # The empty password: without one, OpenSSL asks for that of an encrypted key on the terminal.
        context.load_cert_chain(settings.client_certificate, settings.client_key, password="")
    return context


def _split(url: str, what: str) -> tuple[SplitResult, Address]:
    problem = ValueError(f"{what} is no URL of the form http://host:port or https://host:port")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:
        # Its text repeats what it is about.
        raise problem from None
    if parts.scheme not in _PORTS or not host:
        raise problem
    authorization = None if parts.username is None else _basic(parts.username, parts.password or "")
    return parts, Address(parts.scheme == "https", host, port or _PORTS[parts.scheme], authorization)


def _basic(user: str, password: str) -> str:
    credentials = f"{unquote(user)}:{unquote(password)}".encode()
    return f"Basic {base64.b64encode(credentials).decode()}"


def _proxy(scheme: str, address: Address) -> Address | None:
    url = getproxies().get(scheme)
    if not url or address.host in _LOOPBACK or proxy_bypass(f"{address.host}:{address.port}"):
        return None
    _, proxy = _split(url if "://" in url else f"http://{url}", "the proxy of the environment")
    if proxy.secure:
        raise ValueError("a proxy that is itself reached by TLS is not supported")
    return proxy
