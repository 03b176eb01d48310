# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The processes that the demo has started: each in a group of its own, all of them ended from one place."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Workers get 5 s from the components and 2.5 s from the plugin's last flush.
_TERM_TIMEOUT = 10.0
_KILL_TIMEOUT = 5.0
_POLL_INTERVAL = 0.05
_TAIL_LINES = 12
_TAIL_BYTES = 16_384


class ProcessError(Exception):
    """A process ended, or did not get ready. The text is one sentence, followed by the tail of its log."""

    def __init__(self, name: str, what: str, tail: str) -> None:
        super().__init__(f"{name} {what}" + (f"; its log ends with:\n{tail}" if tail else " and logged nothing"))
        self.port_was_taken = "ddress already in use" in tail


@dataclass(frozen=True, slots=True)
class StartedProcess:
    """A process that leads a group; ``log`` is where its standard error goes."""

    name: str
    popen: "subprocess.Popen[bytes]"
    log: Path

    @property
    def running(self) -> bool:
        """Whether the process itself (not its group) runs."""
        return self.popen.poll() is None

    def failure(self, what: str) -> ProcessError:
        """The exception that says ``what`` happened, with the tail of the log."""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = log.read().decode("utf-8", "replace").splitlines()
        return ProcessError(self.name, what, "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:]))

    def check_running(self) -> None:
        """Raise :class:`ProcessError` if the process has ended."""
        if not self.running:
            raise self.ended()

    def ended(self) -> ProcessError:
        """The exception that says how the process ended."""
        status = self.popen.returncode
        if status < 0:
            return self.failure(f"was ended by signal {-status} ({signal.strsignal(-status)})")
        return self.failure(f"ended with status {status}")

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to the whole group; tells whether there still is one."""
        self.popen.poll()
        try:
            os.killpg(self.popen.pid, number)
        except (ProcessLookupError, PermissionError):
            # macOS answers EPERM for a group of zombies.
            return False
        return True

    @property
    def group_exists(self) -> bool:
        """Whether any process of the group is left."""
        self.popen.poll()
        try:
            os.killpg(self.popen.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True


class ProcessGroups:
    """Starts processes and ends them all.

    Args:
        directory: Where their logs go, and their working directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._processes: list[StartedProcess] = []

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], *, instrument: bool
    ) -> StartedProcess:
        """Start ``command``, under ``opentelemetry-instrument`` if asked. Raises ``OSError`` when that fails."""
        entry = "instrument" if instrument else "plain"
        launch = (sys.executable, "-m", "otel_backendai.cli.launch", str(os.getpid()), entry)
        log = self._directory / f"{len(self._processes):02d}-{name}.log"
        with log.open("wb") as stderr:
            # No await from here to the list: a cancelled demo must know every process that runs.
            popen = subprocess.Popen(  # noqa: S603  # the command is the demo's own
                [*launch, *command],
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                cwd=self._directory,
                env=dict(environment),
                start_new_session=True,
            )
            started = StartedProcess(name, popen, log)
            self._processes.append(started)
        return started

    def send(self, number: signal.Signals) -> None:
        """Send a signal to every group."""
        for process in self._processes:
            process.send(number)

    async def stop(self) -> None:
        """End every group: SIGTERM, ten seconds, SIGKILL. Returns when nothing is left, or five seconds after that."""
        for number, timeout in ((signal.SIGTERM, _TERM_TIMEOUT), (signal.SIGKILL, _KILL_TIMEOUT)):
            self.send(number)
            deadline = time.monotonic() + timeout
            while time.monotonic() < deadline:
                self._processes = [process for process in self._processes if process.group_exists]
                if not self._processes:
                    return
                await asyncio.sleep(_POLL_INTERVAL)
