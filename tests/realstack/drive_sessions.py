#!/usr/bin/env python
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
Sessions at once, each created and destroyed under a request ID of its own, in the
environment of a stack that runs; their statuses are asked for under other IDs.

    opentelemetry-instrument python drive_sessions.py --report FILE [--count N] [--app] [--interlude CMD]

FILE gets a list of {id, created, destroyed, posted_at, post_seconds, running_at,
terminated_at, destroyed_at, destroy_seconds, seen, names, failed}, as JSON: request IDs,
times in seconds since the epoch (the statuses' are those of the poll that saw them; `seen`
has [status, when the request or poll before was made, when this one was answered] for each),
what else the components call the session by (its kernels and containers), and the steps of
the app's start that failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import uuid
from pathlib import Path

from opentelemetry import context as context_api
from opentelemetry import trace
from smoke import Run, parser, release  # type: ignore[import-not-found]  # beside it, where it is run

from otel_backendai.api import bind_request_id

# Between two looks at one session; seconds.
INTERVAL = 0.1
_LIMIT = 90.0
_QUERY = "query($id: UUID!) { compute_session(id: $id) { status containers { id container_id } } }"
_tracer = trace.get_tracer("realstack")


async def row_of(session: object) -> dict[str, object]:
    """Status, kernels and containers of a session, as the manager says."""
    request = release.Request("POST", "/admin/gql")
    request.set_json({"query": _QUERY, "variables": {"id": str(session)}})
    with bind_request_id():
        async with request.fetch() as response:
            reply = await response.json()
    return (reply.get("data") or reply)["compute_session"] or {}


async def until(
    session: object,
    wanted: str,
    interval: float,
    seen: list[tuple[str, float, float]] | None = None,
    asked_before: float = 0.0,
) -> dict[str, object]:
    """Poll until the session has the status; what is known of it then.

    Each change of its status goes into ``seen``, the first since ``asked_before``, seconds since the epoch.
    """
    seen = [] if seen is None else seen
    deadline = time.monotonic() + _LIMIT
    status = None
    while time.monotonic() < deadline:
        asked = time.time()
        try:
            row = await row_of(session)
        except Exception:  # the manager is restarted by the interlude
            row = {}
        status = row.get("status")
        if status is not None:
            if not seen or seen[-1][0] != status:
                seen.append((str(status), asked_before, time.time()))
            asked_before = asked
        if status == wanted:
            return row
        if status in {"ERROR", "CANCELLED", "TERMINATED"}:
            break
        await asyncio.sleep(interval)
    raise RuntimeError(f"{session}: {status} instead of {wanted}")


def names_of(row: dict[str, object]) -> list[str]:
    """What else the components call a session by: its kernels and containers."""
    return sorted({text for one in row["containers"] for text in one.values() if text})  # type: ignore[attr-defined]


async def _start_app(api: release.AsyncSession, name: str, session: object) -> list[str]:
    run = Run(parser().parse_args(["--quiet"]))
    await release.start_app(run, api, name, session)
    return list(run.failed)


async def _one(api: release.AsyncSession, options: argparse.Namespace) -> dict[str, object]:
    name = f"deferred-{uuid.uuid4().hex[:8]}"
    interval = INTERVAL * options.count
    with bind_request_id() as created, _tracer.start_as_current_span("a session"):
        begun, posted_at = time.monotonic(), time.time()
        session = await api.ComputeSession.get_or_create(
            release.IMAGE,
            name=name,
            enqueue_only=True,
            resources={"cpu": 1, "mem": "256m"},
            group_name="default",
            domain_name="default",
        )
        post_seconds = time.monotonic() - begun
        context = context_api.get_current()
    if options.interlude:
        await (await asyncio.create_subprocess_shell(options.interlude)).wait()
    seen: list[tuple[str, float, float]] = []
    row = await until(session.id, "RUNNING", interval, seen, posted_at)
    running_at = time.time()
    failed: list[str] = []
    if options.app:
        token = context_api.attach(context)
        try:
            failed = await _start_app(api, name, session.id)
        finally:
            context_api.detach(token)
    with bind_request_id() as destroyed, _tracer.start_as_current_span("a session's end"):
        begun, destroyed_at = time.monotonic(), time.time()
        await api.ComputeSession(name).destroy()
        destroy_seconds = time.monotonic() - begun
    await until(session.id, "TERMINATED", interval, seen, destroyed_at)
    return {
        "id": str(session.id),
        "created": created,
        "destroyed": destroyed,
        "posted_at": posted_at,
        "post_seconds": post_seconds,
        "running_at": running_at,
        "terminated_at": time.time(),
        "destroyed_at": destroyed_at,
        "destroy_seconds": destroy_seconds,
        "seen": seen,
        "names": names_of(row),
        "failed": failed,
    }


async def _all(options: argparse.Namespace) -> list[object]:
    async with release.AsyncSession() as api:
        return list(await asyncio.gather(*(_one(api, options) for _ in range(options.count)), return_exceptions=True))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--report", type=Path, required=True)
    arguments.add_argument("--count", type=int, default=1)
    arguments.add_argument("--app", action="store_true", help="start the stand-in's app, as a part of the creation")
    arguments.add_argument("--interlude", default="", help="a command that is run once a session was created")
    parsed = arguments.parse_args()
    found = asyncio.run(_all(parsed))
    parsed.report.write_text(json.dumps([one for one in found if not isinstance(one, BaseException)]))
    errors = [one for one in found if isinstance(one, BaseException)]
    if errors:
        sys.exit(f"{len(errors)} of {parsed.count}: {errors[0]!r}")
