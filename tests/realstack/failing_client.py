#!/usr/bin/env python
# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
One session that does not get on, in the environment of a stack that runs.

    opentelemetry-instrument python failing_client.py CASE --report FILE [--interlude CMD]

broken     the agent fails to make the kernel (a full disk, by the stand-in); if the release leaves the session
           at that, the interlude runs, then it is destroyed
never      more CPUs than there are; the interlude runs while it waits, then it is destroyed
timeout    the same, and the resource group ends what has waited for five seconds
killed     the interlude runs while the kernel is made (it kills the agent)

The interlude finds the creation's request ID in $REQUEST_ID. FILE gets {id, created,
destroyed, seen}, as JSON: the request IDs of creation and end ("" if nobody ended it),
and the statuses with the times at which a poll saw them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
import uuid
from pathlib import Path

from ai.backend.client.exceptions import BackendError
from ai.backend.client.request import Request
from scenario_steps import session_row  # type: ignore[import-not-found]  # beside it, where it is run
from smoke import release  # type: ignore[import-not-found]  # beside it, where it is run

from otel_backendai.api import bind_request_id

_LIMIT = 30.0
# Who ends what has waited for so many seconds looks once a minute.
_PENDING = 5
_SWEPT = 150.0
_WAITED = 12.0
_MANY = 1000
_ENDED = {"ERROR", "CANCELLED", "TERMINATED"}
# What makes the stand-in of a container bad; slow for longer than it takes to see that it is at work, and to kill it.
_ENVIRONMENTS = {"broken": {"STANDIN_FULL_DISK": "1"}, "killed": {"STANDIN_SLOW_DISK": "10"}}
# They wait for nothing that will come.
_STUCK = {"broken", "never"}


async def _watch(session: object, seen: list[tuple[str, float]], until: set[str], limit: float) -> str:
    """Poll until one of the statuses is there or the time is up; the status that was seen last."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        try:
            with bind_request_id():
                status = (await session_row(session)).get("status")
        except (BackendError, OSError, TimeoutError):  # a manager that is busy with an agent that was killed
            status = None
        if status and (not seen or seen[-1][0] != status):
            seen.append((status, time.time()))
        if status in until:
            break
        await asyncio.sleep(0.1)
    return seen[-1][0] if seen else ""


def _has_ended(seen: list[tuple[str, float]]) -> bool:
    return bool(seen) and seen[-1][0] in _ENDED | {"TERMINATING"}


async def _expire_pending(seconds: int) -> None:
    """Let the stack's resource group end what is pending for so long, 0 for never."""
    # The pending time-out of later ones ends nothing that their scheduler looks at meanwhile (failing_page.py).
    if tuple(map(int, os.environ["REALSTACK_FAMILY"].split("."))) < (26, 4):
        await _pending_timeout(seconds)
        return
    limits = [{"handler_name": "schedule-sessions", "timeout_sec": seconds}] if seconds else []
    request = Request("PUT", "/v2/resource-groups/default/default-session-options")
    request.set_json({"options": {"handler_options": {"by_handler": limits}}})
    with bind_request_id():
        async with request.fetch():
            pass


async def _pending_timeout(seconds: int) -> None:
    """Set ``pending_timeout``, 0 for none."""
    options = {
        "allowed_session_types": ["interactive", "batch", "inference"],
        "pending_timeout": seconds,
        "config": {},
    }
    query = """mutation($name: String!, $props: ModifyScalingGroupInput!) {
        modify_scaling_group(name: $name, props: $props) { ok msg } }"""
    request = Request("POST", "/admin/gql")
    request.set_json(
        {"query": query, "variables": {"name": "default", "props": {"scheduler_opts": json.dumps(options)}}}
    )
    with bind_request_id():
        async with request.fetch() as response:
            answer = await response.json()
    done = (answer.get("data") or answer)["modify_scaling_group"]
    if not done["ok"]:
        raise RuntimeError(done["msg"])


async def _run(case: str, interlude: str) -> dict[str, object]:
    seen: list[tuple[str, float]] = []
    ended = ""
    async with release.AsyncSession() as api:
        if case == "timeout":
            await _expire_pending(_PENDING)
        name = f"failing-{uuid.uuid4().hex[:8]}"
        with bind_request_id() as created:
            session = await api.ComputeSession.get_or_create(
                release.IMAGE,
                name=name,
                enqueue_only=True,
                resources={"cpu": _MANY if case in {"never", "timeout"} else 1, "mem": "256m"},
                envs=_ENVIRONMENTS.get(case),
                group_name="default",
                domain_name="default",
            )
        if case in _STUCK:
            await _watch(session.id, seen, _ENDED | {"RUNNING"}, _WAITED)
        if interlude and not _has_ended(seen):
            environment = {**os.environ, "REQUEST_ID": created}
            await (await asyncio.create_subprocess_shell(interlude, env=environment)).wait()
        if case not in _STUCK:
            await _watch(session.id, seen, _ENDED | {"RUNNING", "TERMINATING"}, _SWEPT if case == "timeout" else _LIMIT)
            # Which may be the last that is heard of it.
            await _watch(session.id, seen, _ENDED | {"RUNNING"}, _WAITED)
        if seen and not _has_ended(seen):
            with bind_request_id() as ended:
                # 23.09 refuses to end what it believes to be PREPARING, for ever when its agent was killed.
                await api.ComputeSession(name).destroy(forced=case == "killed")
            await _watch(session.id, seen, _ENDED, _LIMIT)
        if case == "timeout":
            await _expire_pending(0)
    if not seen:
        raise RuntimeError("no status was seen")
    return {"id": str(session.id), "created": created, "destroyed": ended, "seen": seen}


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("case", choices=("broken", "never", "timeout", "killed"))
    options.add_argument("--report", type=Path, required=True)
    options.add_argument("--interlude", default="", help="a command that is run while the session waits")
    parsed = options.parse_args()
    parsed.report.write_text(json.dumps(asyncio.run(_run(parsed.case, parsed.interlude))))
