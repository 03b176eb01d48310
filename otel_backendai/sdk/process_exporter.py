# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The exporter of one process: built where and when something is sent, left behind by a fork, closed before one."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from otel_backendai.guard import Guard

_CLOSE = Guard("export queue: close")


class Exporter(Protocol):
    """What every span and log exporter offers, in all trains."""

    def export(self, batch: Sequence[Any], /) -> object:
        """Send ``batch``."""

    def shutdown(self) -> object:
        """Close what is open."""


class ProcessExporter:
    """What one queue exports by, in each process another one.

    Args:
        make_exporter: Builds it.
    """

    def __init__(self, make_exporter: Callable[[], Exporter]) -> None:
        self._make_exporter = make_exporter
        self._left: list[Exporter | None] = []
        self._exporter: Exporter | None = None
        self._made_by: Callable[[], Exporter] | None = None

    def use(self, make_exporter: Callable[[], Exporter]) -> None:
        """Build the next one by ``make_exporter``: when :meth:`built` is called again."""
        self._make_exporter = make_exporter

    def leave_to_parent(self) -> None:
        """Start anew in a fork: the sockets are the parent's."""
        # Kept, never closed.
        self._left.append(self._exporter)
        self._exporter = self._made_by = None

    def built(self) -> Exporter:
        """The exporter, built by the calling thread unless it is there; what was built by another recipe is left."""
        make_exporter = self._make_exporter
        if self._exporter is None or self._made_by is not make_exporter:
            self._left.append(self._exporter)
            self._exporter, self._made_by = make_exporter(), make_exporter
        return self._exporter

    def close(self) -> None:
        """Close it if it was built; the next one is built anew."""
        exporter, self._exporter, self._made_by = self._exporter, None, None
        with _CLOSE:
            if exporter is not None:
                exporter.shutdown()
