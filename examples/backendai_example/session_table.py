# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The table of compute sessions in Redis, which all workers of the manager share."""

import time
from dataclasses import dataclass
from enum import StrEnum

from redis.asyncio import Redis

MAX_SESSIONS = 20_000
# A session that nobody cleaned up, because the manager was gone, ends by itself.
LIFETIME = 900
_INDEX = "sessions"


class SessionStatus(StrEnum):
    """The stages of a session."""

    PREPARING = "PREPARING"
    RUNNING = "RUNNING"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Session:
    """One row of the table."""

    session_id: str
    kernel_id: str
    status: SessionStatus


class TableFullError(Exception):
    """There are as many sessions as the table may hold; `status` is the HTTP status that says so."""

    status = 503


class SessionTable:
    """Rows by session ID: a hash each, and a sorted set of all IDs by time of creation."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(self, session: Session) -> None:
        """Insert a row. Raises `TableFullError` when there is no room."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zadd(_INDEX, {session.session_id: time.time()})
        pipeline.zcard(_INDEX)
        pipeline.hset(_key(session.session_id), mapping={"kernel_id": session.kernel_id, "status": session.status})
        pipeline.expire(_key(session.session_id), LIFETIME)
        _, count, _, _ = await pipeline.execute()
        if count > MAX_SESSIONS:
            await self.remove(session.session_id)
            raise TableFullError(f"there are {MAX_SESSIONS} sessions already")

    async def set_status(self, session_id: str, status: SessionStatus) -> None:
        """Change the status of a row."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hset(_key(session_id), "status", status)
        pipeline.expire(_key(session_id), LIFETIME)
        await pipeline.execute()

    async def get(self, session_id: str) -> Session | None:
        """A row, `None` when there is none."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hgetall(_key(session_id))
        (row,) = await pipeline.execute()
        if b"kernel_id" not in row:
            return None
        return Session(session_id, row[b"kernel_id"].decode(), SessionStatus(row[b"status"].decode()))

    async def older_than(self, seconds: float, *, limit: int) -> list[str]:
        """The IDs of at most `limit` sessions that were created more than `seconds` ago, oldest first."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zrangebyscore(_INDEX, "-inf", time.time() - seconds, start=0, num=limit)
        (session_ids,) = await pipeline.execute()
        return [session_id.decode() for session_id in session_ids]

    async def remove(self, session_id: str) -> None:
        """Delete a row; nothing happens when there is none."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.delete(_key(session_id))
        pipeline.zrem(_INDEX, session_id)
        await pipeline.execute()


def _key(session_id: str) -> str:
    return f"session:{session_id}"
