# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Which outbound HTTP calls go to a Backend.AI service. Everything else is a third party and gets nothing of ours."""

import os
from functools import cache

from multidict import CIMultiDict, istr
from yarl import URL

from otel_backendai.component import component
from otel_backendai.names import SETTING_PEERS

# Set by Backend.AI's own clients from 23.09 to 26.9 (to storage-proxy, app-proxy, agent watcher).
MARKER_HEADERS = tuple(map(istr, ("X-BackendAI-Storage-Auth-Token", "X-BackendAI-Token", "X-BackendAI-Watcher-Token")))

# `Authorization: BackendAI ...` marks a peer only where it signs requests to the own cluster: elsewhere it also signs
# those to remote reservoirs, which are another trust domain.
AUTHORIZATION = istr("Authorization")
SIGNING_COMPONENTS = frozenset({"webserver", "client"})

# The one call of the manager to the app-proxy that carries no marker.
_PEER_PATHS = frozenset({"/v2/conf"})


@cache
def _configured() -> tuple[frozenset[str], tuple[str, ...]]:
    return parse_peers(os.environ.get(SETTING_PEERS, ""))


def parse_peers(setting: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the exact ``host`` and ``host:port`` entries of ``OTEL_BACKENDAI_PEERS``, and the ``.suffix`` ones.

    Args:
        setting: Comma separated ``host``, ``host:port`` or ``*.suffix``; case and blanks do not matter.
    """
    entries = [entry.strip().lower() for entry in setting.split(",") if entry.strip()]
    exact = frozenset(entry for entry in entries if not entry.startswith("*."))
    return exact, tuple(entry[1:] for entry in entries if entry.startswith("*."))


def is_peer_host(url: URL) -> bool:
    """Whether ``OTEL_BACKENDAI_PEERS`` names the host of ``url``."""
    exact, suffixes = _configured()
    host = (url.host or "").lower()
    return host in exact or f"{host}:{url.port}" in exact or bool(suffixes and host.endswith(suffixes))


def is_peer(url: URL, headers: tuple[CIMultiDict[str], ...]) -> bool:
    """Whether a call to ``url`` with ``headers`` (the call's and the session's) goes to a Backend.AI service."""
    if is_peer_host(url) or url.path in _PEER_PATHS:
        return True
    for some in headers:
        for marker in MARKER_HEADERS:
            if marker in some:
                return True
        if some.get(AUTHORIZATION, "").startswith("BackendAI ") and component() in SIGNING_COMPONENTS:
            return True
    return False
