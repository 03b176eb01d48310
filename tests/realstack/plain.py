#!/usr/bin/env python
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
What a client without the plugin does with tokens, in the environment of a stack that
runs: the released client SDK uploads a file to a folder and downloads it; where the
release hands out tokens for apps, one is started and called.

    python plain.py --report FILE

FILE is as smoke.py writes it, with {began, ended} in addition: seconds since the epoch.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ai.backend.client.session import AsyncSession
from smoke import Run, drive, parser, release  # type: ignore[import-not-found]  # beside it, where it is run

_SIZE = 100_000
_CHUNK = 32_768
_scenario = release.scenario


class TimedRun(Run):  # type: ignore[misc]  # see above
    """A run whose steps can be found at the receiver by their times: there is no ID to find them by."""

    @asynccontextmanager
    async def step(self, title: str, waits: bool = False) -> AsyncIterator[dict[str, object]]:
        """As in smoke.py."""
        began = time.time()
        async with super().step(title, waits) as note:
            yield note
        self.steps[-1] |= {"began": began, "ended": time.time()}
        self.write_report()


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _compare(sent: Path, received: Path) -> None:
    if received.read_bytes() != sent.read_bytes():
        raise AssertionError("what came back is not what was sent")


async def _folder(run: Run) -> None:
    folder = f"plain-{uuid.uuid4().hex[:8]}"
    async with AsyncSession() as api:
        async with run.step("vfolder create"):
            await api.VFolder.create(folder, usage_mode="general")
        with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
            source = _write(Path(here, "hello.bin"), os.urandom(_SIZE))
            async with run.journey("folder upload"), run.step("upload"):
                await api.VFolder(folder).upload([source], basedir=here, chunk_size=_CHUNK, show_progress=False)
            async with run.journey("folder download"), run.step("download"):
                await api.VFolder(folder).download([source.name], basedir=there)
                _compare(source, Path(there, source.name))
        async with run.step("vfolder delete"):
            await api.VFolder(folder).delete()


async def _all(run: Run) -> None:
    await _folder(run)
    if os.environ["REALSTACK_FAMILY"] != "23.9":  # its apps are reached by signed calls to the manager
        await _scenario(run)


if __name__ == "__main__":
    options = parser()
    options.set_defaults(only="session,app", quiet=True)
    release.scenario = _all
    drive(TimedRun(options.parse_args()))
