# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the conventions want to be said of a request, from aiohttp's request object; all of it bounded, no secrets."""

from typing import Any

from opentelemetry.semconv.attributes.client_attributes import CLIENT_ADDRESS
from opentelemetry.semconv.attributes.http_attributes import HTTP_REQUEST_METHOD, HTTP_REQUEST_METHOD_ORIGINAL
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.semconv.attributes.url_attributes import URL_PATH, URL_QUERY, URL_SCHEME
from opentelemetry.semconv.attributes.user_agent_attributes import USER_AGENT_ORIGINAL
from opentelemetry.util.types import AttributeValue

from otel_backendai.hops.span_errors import clean_text
from otel_backendai.redaction import redact_url

# Method names that conventions list; all else is an unbounded set that a client chooses.
KNOWN_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
OTHER_METHOD = "_OTHER"


def request_attributes(request: Any) -> dict[str, AttributeValue]:
    """The attributes that are known when a request begins; also of a malformed one."""
    method = request.method
    attributes: dict[str, AttributeValue] = {URL_PATH: clean_text(redact_url(request.path)), URL_SCHEME: request.scheme}
    if method in KNOWN_METHODS:
        attributes[HTTP_REQUEST_METHOD] = method
    else:
        attributes[HTTP_REQUEST_METHOD] = OTHER_METHOD
        attributes[HTTP_REQUEST_METHOD_ORIGINAL] = clean_text(method)[:32]
    query = request.rel_url.raw_query_string
    if query:
        attributes[URL_QUERY] = clean_text(redact_url(query))
    # The other end of the connection, which may be a proxy: what such a one writes into headers, anybody may.
    if request.remote:
        attributes[CLIENT_ADDRESS] = request.remote
    attributes.update(_server_attributes(request.headers.get("Host")))
    agent = request.headers.get("User-Agent")
    if agent:
        attributes[USER_AGENT_ORIGINAL] = clean_text(agent)
    return attributes


def _server_attributes(host: str | None) -> dict[str, AttributeValue]:
    """The server's address and port as the client names them; nothing without a ``Host`` header.

    Not from aiohttp's ``request.host``: up to 3.13 it asks the name service when there is no such header, and waits.
    """
    if not host:
        return {}
    text = clean_text(host)
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") > 1:
        address, port = text, ""
    else:
        address, _, port = text.partition(":")
    if not address:
        return {}
    attributes: dict[str, AttributeValue] = {SERVER_ADDRESS: address}
    if port.isdecimal() and len(port) <= 5 and int(port) <= 65_535:
        attributes[SERVER_PORT] = int(port)
    return attributes


def route_of(match_info: Any) -> str | None:
    """The route's template; ``None`` for an unrouted or malformed request. Never the path: it is unbounded."""
    resource = getattr(getattr(match_info, "route", None), "resource", None)
    return getattr(resource, "canonical", None)
