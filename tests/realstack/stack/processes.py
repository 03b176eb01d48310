# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The processes of a stack as the system knows them, whatever they say of themselves."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.realstack.stack.settings import Stack

# The title that aiotools' servers of Backend.AI give to a worker, forked or spawned.
_WORKER: Final = re.compile(r"^backend\.ai: .*\bworker-\d+\s*$")
# In /proc/PID/stat, behind the name: state, parent, group, session.
_SESSION: Final = 3


def workers(stack: Stack, names: Iterable[str]) -> dict[str, frozenset[int]]:
    """The running worker processes of the named components, each of which was started as the leader of a session."""
    of_session: dict[int, set[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            title = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            session = int((process / "stat").read_text().rpartition(") ")[2].split()[_SESSION])
        except OSError:  # it has ended meanwhile
            continue
        if _WORKER.match(title):
            of_session.setdefault(session, set()).add(int(process.name))
    return {name: frozenset(of_session.get(started(stack, name), ())) for name in names}


def started(stack: Stack, component: str) -> int:
    """The process that ``up.sh`` has started last for a component; 0 if there is none."""
    path = stack.directory / "run" / f"{component}.pid"
    return int(path.read_text().split()[0]) if path.exists() else 0


def has_two_processors() -> bool:
    """Whether components can have two workers: none has more than there are processors."""
    return (os.cpu_count() or 1) > 1
