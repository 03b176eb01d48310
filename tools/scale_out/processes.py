# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Processes of Jaeger and the Collector: started, killed, started again; measured by /proc, as Linux has it."""

import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

_READY_TIMEOUT = 30.0
_READY_POLL = 0.05
_STOP_TIMEOUT = 15.0
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def free_address() -> str:
    """``127.0.0.1:PORT`` that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Process:
    """A server process; :meth:`start` may follow :meth:`kill`.

    Args:
        name: What it is called in tables; its log is ``directory/name.log``.
        command: Program and arguments.
        settings: Environment variables beside those of this process.
        ready_url: Answers 200 as soon as it serves.
        directory: Takes the log.
    """

    def __init__(
        self, name: str, command: Sequence[str], settings: Mapping[str, str], ready_url: str, directory: Path
    ) -> None:
        self.name = name
        self.peak_bytes = 0
        self.cpu_seconds = 0.0
        self._command = command
        self._settings = settings
        self._ready_url = ready_url
        self._log = directory / f"{name}.log"
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; return when it serves.

        Raises:
            RuntimeError: It ended, or does not serve within thirty seconds; with the end of its log.
        """
        with self._log.open("ab") as log:
            self._running = subprocess.Popen(
                self._command, stdout=log, stderr=log, env={**os.environ, **self._settings}
            )
        deadline = time.monotonic() + _READY_TIMEOUT
        while not _answers(self._ready_url):
            if self._running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not serve: {self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(_READY_POLL)

    def kill(self) -> None:
        """End it by SIGKILL: whatever it holds is gone."""
        if self._running is not None:
            self._measure(self._running.pid)
            self._running.kill()
            self._running.wait(_STOP_TIMEOUT)
            self._running = None

    def stop(self) -> None:
        """End it by SIGTERM, after fifteen seconds by SIGKILL. Nothing happens when it does not run."""
        if self._running is None:
            return
        if self._running.poll() is None:
            self._measure(self._running.pid)
            self._running.terminate()
        try:
            self._running.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait(_STOP_TIMEOUT)
        self._running = None

    def _measure(self, pid: int) -> None:
        """Add the CPU time, and take the peak of the resident set if it is higher than before."""
        proc = Path("/proc") / str(pid)
        for line in (proc / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                self.peak_bytes = max(self.peak_bytes, int(line.split()[1]) * 1024)
        # proc(5): user and system time are fields 14 and 15; the second is a name in parentheses that may hold blanks.
        fields = (proc / "stat").read_text().rpartition(")")[2].split()
        self.cpu_seconds += (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
