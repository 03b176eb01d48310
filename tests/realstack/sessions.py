#!/usr/bin/env python
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
Sessions at once, each created and destroyed under a request ID of its own, in the
environment of a stack that runs; their statuses are asked for under other IDs.

    opentelemetry-instrument python sessions.py --report FILE [--count N] [--interlude CMD]

FILE gets a list of {id, created, destroyed, running_at, terminated_at}, as JSON:
request IDs, and times in seconds since the epoch at which a poll saw the status.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import uuid
from pathlib import Path

from smoke import release  # type: ignore[import-not-found]  # beside it, where it is run

from otel_backendai.api import bind_request_id

_LIMIT = 90.0


async def _until(session: object, wanted: str) -> float:
    deadline = time.monotonic() + _LIMIT
    while time.monotonic() < deadline:
        try:
            with bind_request_id():
                status = (await release.session_row(session)).get("status")
        except Exception:  # the manager is restarted by the interlude
            status = None
        if status == wanted:
            return time.time()
        if status in {"ERROR", "CANCELLED", "TERMINATED"}:
            break
        await asyncio.sleep(0.1)
    raise RuntimeError(f"{session}: {status} instead of {wanted}")


async def _one(api: release.AsyncSession, interlude: str) -> dict[str, object]:
    name = f"deferred-{uuid.uuid4().hex[:8]}"
    with bind_request_id() as created:
        session = await api.ComputeSession.get_or_create(
            release.IMAGE,
            name=name,
            enqueue_only=True,
            resources={"cpu": 1, "mem": "256m"},
            group_name="default",
            domain_name="default",
        )
    if interlude:
        await (await asyncio.create_subprocess_shell(interlude)).wait()
    running_at = await _until(session.id, "RUNNING")
    with bind_request_id() as destroyed:
        await api.ComputeSession(name).destroy()
    terminated_at = await _until(session.id, "TERMINATED")
    return {
        "id": str(session.id),
        "created": created,
        "destroyed": destroyed,
        "running_at": running_at,
        "terminated_at": terminated_at,
    }


async def _all(count: int, interlude: str) -> list[object]:
    async with release.AsyncSession() as api:
        return list(await asyncio.gather(*(_one(api, interlude) for _ in range(count)), return_exceptions=True))


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--report", type=Path, required=True)
    options.add_argument("--count", type=int, default=1)
    options.add_argument("--interlude", default="", help="a command that is run once a session was created")
    parsed = options.parse_args()
    found = asyncio.run(_all(parsed.count, parsed.interlude))
    parsed.report.write_text(json.dumps([one for one in found if not isinstance(one, BaseException)]))
    errors = [one for one in found if isinstance(one, BaseException)]
    if errors:
        sys.exit(f"{len(errors)} of {parsed.count}: {errors[0]!r}")
