# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Which outbound HTTP calls go to a Backend.AI service. Everything else is a third party and gets nothing of ours."""

import os
from collections.abc import Mapping
from functools import cache

from multidict import CIMultiDict, istr
from opentelemetry import context as context_api
from opentelemetry.context import Context, create_key
from yarl import URL

from otel_backendai.component import component
from otel_backendai.names import SETTING_PEERS

# Set by Backend.AI's own clients from 23.09 to 26.9 (to storage-proxy, app-proxy, agent watcher).
_STORAGE_TOKEN, _TOKEN, _WATCHER_TOKEN = MARKER_HEADERS = tuple(
    map(istr, ("X-BackendAI-Storage-Auth-Token", "X-BackendAI-Token", "X-BackendAI-Watcher-Token"))
)
# Who refuses a request with a wrong one: elsewhere anybody may send any of them.
_VERIFIED_BY = {
    "storage-proxy": _STORAGE_TOKEN,
    "appproxy-coordinator": _TOKEN,
    "wsproxy": _TOKEN,  # its predecessor, up to 25.12
    "agent-watcher": _WATCHER_TOKEN,
}

# `Authorization: BackendAI ...` marks a peer only where it signs requests to the own cluster: elsewhere it also signs
# those to remote reservoirs, which are another trust domain.
AUTHORIZATION = istr("Authorization")
# A log-in is not signed yet. Web server and client call the manager by the same library, which says who they are.
_USER_AGENT = istr("User-Agent")
_CLIENT_LIBRARY = ("Backend.AI Client for Python ", "Backend.AI Web Server ")
SIGNING_COMPONENTS = frozenset({"webserver", "client"})

# The manager's one call to the app-proxy that has no marker and no function of its own: it is known by its body. By its
# path alone it could be a session's `callback_url`, which a user chooses, with a body that tells what has happened.
_CONF_PATH = "/v2/conf"
_CONF_FIELDS = frozenset({"login_session_token", "kernel_host", "kernel_port", "session"})

_PEER = create_key("otel-backendai-peer")

# The client library's calls to the storage-proxy, which are known by the token in the query.
_CLIENT_PATHS = frozenset({"/upload", "/download", "/download-archive"})
_CLIENT_TOKEN = "token"  # noqa: S105  # the name of a parameter


def is_from_peer(headers: Mapping[str, str]) -> bool:
    """Whether a request with ``headers`` is from another service of the cluster, or will be refused by this one."""
    marker = _VERIFIED_BY.get(component() or "")
    return marker is not None and marker in headers


@cache
def _configured() -> tuple[frozenset[str], tuple[str, ...]]:
    return parse_peers(os.environ.get(SETTING_PEERS, ""))


def parse_peers(setting: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the exact ``host`` and ``host:port`` entries of ``OTEL_BACKENDAI_PEERS``, and the ``.suffix`` ones.

    Args:
        setting: Comma separated ``host``, ``host:port`` or ``*.suffix``; case and blanks do not matter.
    """
    entries = [_plain(entry.strip().lower()) for entry in setting.split(",") if entry.strip()]
    exact = frozenset(entry for entry in entries if not entry.startswith("*."))
    return exact, tuple(entry[1:] for entry in entries if entry.startswith("*."))


def _plain(entry: str) -> str:
    # As URLs have an IPv6 address once they are read: without the brackets that keep its colons from the port's.
    return entry.replace("[", "").replace("]", "")


def is_peer_host(url: URL) -> bool:
    """Whether ``OTEL_BACKENDAI_PEERS`` names the host of ``url``."""
    exact, suffixes = _configured()
    if not exact and not suffixes:
        return False
    # As it is written, and in the name service's letters.
    hosts = {(url.host or "").lower(), (url.raw_host or "").lower()}
    return any(
        host in exact or f"{host}:{url.port}" in exact or bool(suffixes and host.endswith(suffixes)) for host in hosts
    )


def with_peer(context: Context) -> Context:
    """Return ``context`` in which outbound HTTP calls go to a Backend.AI service, whatever they look like."""
    return context_api.set_value(_PEER, True, context)


def is_peer(
    method: str, url: URL, headers: tuple[CIMultiDict[str], ...], body: object = None, context: Context | None = None
) -> bool:
    """Whether an outbound call goes to a Backend.AI service.

    Args:
        method: As the application wrote it.
        url: Where it goes.
        headers: The call's and the session's.
        body: What it sends as JSON, if it does.
        context: That of the call; ``None``: the current one.
    """
    if context_api.get_value(_PEER, context) is True or is_peer_host(url):
        return True
    path = url.path
    if path == _CONF_PATH and method == "POST" and component() == "manager":
        return isinstance(body, Mapping) and body.keys() >= _CONF_FIELDS
    if path in _CLIENT_PATHS and component() == "client" and _CLIENT_TOKEN in url.query:
        return True
    for some in headers:
        for marker in MARKER_HEADERS:
            if marker in some:
                return True
        if component() in SIGNING_COMPONENTS and (
            some.get(AUTHORIZATION, "").startswith("BackendAI ")
            or some.get(_USER_AGENT, "").startswith(_CLIENT_LIBRARY)
        ):
            return True
    return False
