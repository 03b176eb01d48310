# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Which component of Backend.AI this process is."""

import os
import re
import sys
from functools import cache

from otel_backendai.names import SETTING_COMPONENT, SPAWNED_COMPONENT

# `backend.ai COMMAND start-server` and `python -m ai.backend.MODULE.server`; names are those of Backend.AI's own
# OpenTelemetry resource (`service.name`), where a release has one.
_BY_COMMAND = {
    "mgr": "manager",
    "ag": "agent",
    "storage": "storage-proxy",
    "web": "webserver",
    "wsproxy": "wsproxy",
    "am": "account-manager",
    "app-proxy-coordinator": "appproxy-coordinator",
    "app-proxy-worker": "appproxy-worker",
}
_BY_MODULE = {
    "manager.server": "manager",
    "agent.server": "agent",
    "agent.watcher": "agent-watcher",
    "storage.server": "storage-proxy",
    "web.server": "webserver",
    "wsproxy.server": "wsproxy",
    "account_manager.server": "account-manager",
    "appproxy.coordinator.server": "appproxy-coordinator",
    "appproxy.worker.server": "appproxy-worker",
}
COMPONENTS = frozenset({*_BY_COMMAND.values(), *_BY_MODULE.values()})
_MODULE = re.compile(r"ai[./]backend[./](?P<module>[a-z_./]+?)(?:[./]__main__)?(?:\.py)?")
_SERVER_COMMANDS = ("start-server", "start-watcher")


def component_of(arguments: list[str]) -> str | None:
    """Return the component that a command line starts, or ``None`` when it starts none (a client command, a script)."""
    for position, argument in enumerate(arguments):
        if argument in _SERVER_COMMANDS:
            return next((_BY_COMMAND[word] for word in arguments[:position] if word in _BY_COMMAND), None)
        match = _MODULE.fullmatch(argument.split("site-packages/")[-1])
        if match and match["module"].replace("/", ".") in _BY_MODULE:
            return _BY_MODULE[match["module"].replace("/", ".")]
    return None


@cache
def component() -> str | None:
    """Return the component of this process: ``OTEL_BACKENDAI_COMPONENT``, else what the command line starts.

    ``sys.orig_argv``, because ``sys.argv`` is not complete yet when ``sitecustomize`` runs. That of a spawned worker is
    multiprocessing's; its parent tells it (``sdk/spawned.py``).
    """
    named = os.environ.get(SETTING_COMPONENT, "").strip() or component_of(sys.orig_argv)
    return named or os.environ.get(SPAWNED_COMPONENT) or None
