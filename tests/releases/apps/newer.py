# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A component with two workers, of a release in which something has been renamed before the plugin comes.

``python -m tests.releases.apps.newer MODULE:PATH...`` takes each of these away, in the release's own modules.
"""

import asyncio
import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import aiotools

from otel_backendai.activation import activate


def rename(target: str) -> None:
    """Give what ``MODULE:PATH`` names another name."""
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    setattr(owner, f"{name}_of_the_future", vars(owner)[name])
    delattr(owner, name)


@aiotools.server_context
async def worker(loop: asyncio.AbstractEventLoop, pidx: int, args: Sequence[Any]) -> Any:
    """Run, and let the second of two end all."""
    logging.getLogger("tests").warning("worker %d runs", pidx)
    if pidx == 1:
        loop.call_later(1.0, os.kill, os.getppid(), signal.SIGTERM)
    yield


def main() -> None:
    """Rename, activate, start."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    for target in sys.argv[1:]:
        rename(target)
    activate()
    aiotools.start_server(worker, num_workers=2, wait_timeout=5.0)


if __name__ == "__main__":
    main()
