# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the newest adapters expect to find, so that a release which came after them is told apart from a known one.

An adapter binds to whatever is there: in a release that is not known yet, a hop whose target is gone would go missing
without a word. So there is one warning per component, which names what was not found.
"""

import logging
import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_logger = logging.getLogger(__name__)

# The newest family that the adapters were tried with, and what they need of it (module, dotted attribute).
NEWEST_FAMILY = (26, 9)
DISTRIBUTION = "backend.ai-common"
# "ai", "backend", the component: one that is not installed here lacks nothing.
_COMPONENT_DEPTH = 3
TARGETS: tuple[tuple[str, str], ...] = (
    ("ai.backend.agent.agent", "AbstractAgent._handle_start_event"),
    ("ai.backend.agent.types", "ContainerLifecycleEvent.__init__"),
    ("ai.backend.common.bgtask.bgtask", "BackgroundTaskManager._execute_new_task"),
    ("ai.backend.common.contexts.request_id", "with_request_id"),
    ("ai.backend.common.cron.local_cron", "LocalCron._run_task"),
    ("ai.backend.common.events.dispatcher", "EventDispatcher._handle"),
    ("ai.backend.common.events.dispatcher", "EventProducer.anycast_event"),
    ("ai.backend.common.leader.tasks.leader_cron", "LeaderCron._run_task"),
    ("ai.backend.common.message_queue.payload", "AnycastMessagePayload.to_stream_fields"),
    ("ai.backend.common.message_queue.payload", "BroadcastMessagePayload.to_json"),
    ("ai.backend.common.message_queue.types", "MessageMetadata.continue_trace"),
    ("ai.backend.common.message_queue.types", "MessageMetadata.from_current_context"),
    ("ai.backend.common.runner.types", "Runner._run_observer"),
    ("ai.backend.logging.formatter", "ConsoleFormatter"),
    ("ai.backend.logging.handler.intrinsic", "RelayHandler.emit"),
    ("ai.backend.logging.handler.intrinsic", "msgpack"),
    ("ai.backend.logging.otel", "apply_otel_loggers"),
    ("ai.backend.logging.otel", "apply_otel_tracer"),
    ("ai.backend.logging.otel", "build_otel_server_middleware"),
)


def warn_about_missing() -> None:
    """Name what a release newer than the known ones lacks, in one warning; nothing for known or absent ones."""
    try:
        installed = version(DISTRIBUTION)
    except PackageNotFoundError:
        return
    if family_of(installed) <= NEWEST_FAMILY:
        return
    missing = missing_targets(TARGETS)
    if missing:
        _logger.warning(
            "Backend.AI %s is newer than this plugin knows (up to %s): not found, so requests may not be followed "
            "there: %s. A newer otel-backendai may know it",
            installed,
            ".".join(map(str, NEWEST_FAMILY)),
            ", ".join(missing),
        )


def family_of(release: str) -> tuple[int, int]:
    """Return the first two numbers of a version, ``(26, 9)`` for ``26.9.6``; ``(0, 0)`` for what is no version."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def missing_targets(targets: Iterable[tuple[str, str]]) -> list[str]:
    """Return which of ``targets`` are not there, as ``module:attribute``; imports nothing.

    A module that nobody has imported yet counts by its file, and one of a component that is not installed here (the
    agent's, on a manager's host) is not missing.
    """
    return [f"{module}:{path}" for module, path in targets if not _is_there(module, path)]


def _is_there(module: str, path: str) -> bool:
    owner: Any = sys.modules.get(module)
    if owner is None:
        return _has_file(module)
    for name in path.split("."):
        if not hasattr(owner, name):
            return False
        owner = getattr(owner, name)
    return True


def _has_file(module: str) -> bool:
    # Not importlib.util.find_spec: it imports the packages on the way.
    folders = [Path(entry) for entry in sys.path]
    *packages, name = module.split(".")
    for depth, package in enumerate(packages, 1):
        folders = [folder / package for folder in folders if (folder / package).is_dir()]
        if not folders:
            return depth <= _COMPONENT_DEPTH
    return any((folder / name).is_dir() or (folder / f"{name}.py").is_file() for folder in folders)
