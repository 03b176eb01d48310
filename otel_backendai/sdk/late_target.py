# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Queues whose target may be named after they were made: by the application's own configuration.

A component of Backend.AI reads it in its worker, late in its start, when the pipelines are long there. What an
``OTEL_*`` variable says about exporter, endpoint or protocol is never overruled.
"""

import os
from collections.abc import Callable
from typing import Any

from otel_backendai.sdk.export_queue import ExportQueue
from otel_backendai.sdk.process_exporter import Exporter

_queues: dict[str, list[ExportQueue[Any]]] = {"traces": [], "logs": []}


def offer(signal: str, queue: ExportQueue[Any]) -> None:
    """Remember ``queue`` unless the environment names its target.

    Args:
        signal: ``traces`` or ``logs``.
        queue: A queue of that signal.
    """
    if not _is_named(signal):
        _queues[signal].append(queue)


def export_to(signal: str, make_exporter: Callable[[], Exporter]) -> None:
    """Send what the environment named no target for, in this process, by what ``make_exporter`` builds."""
    for queue in _queues[signal]:
        queue.use(make_exporter)


def hold(seconds: float) -> None:
    """Let these queues collect for that long in this process; see :meth:`ExportQueue.hold`."""
    for queue in (queue for queues in _queues.values() for queue in queues):
        queue.hold(seconds)


def _is_named(signal: str) -> bool:
    if os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip() not in ("", "otlp"):
        return True
    names = ("ENDPOINT", f"{signal.upper()}_ENDPOINT", "PROTOCOL", f"{signal.upper()}_PROTOCOL")
    return any(os.environ.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip() for name in names)
