# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The connection to Redis that a component holds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis
from redis.asyncio import BlockingConnectionPool, Redis

# Callers wait in line for a connection when a thousand requests come at once.
MAX_CONNECTIONS = 16
POOL_TIMEOUT = 30.0


@asynccontextmanager
async def connected_redis(url: str) -> AsyncIterator[Redis]:
    """A Redis client on a bounded pool of connections, all of which are closed at the end."""
    options: dict[str, Any] = {}
    if int(redis.__version__.split(".")[0]) >= 5:
        # redis-py 8 speaks RESP3 by default, which shapes the answers of XREAD and XREADGROUP differently.
        options["protocol"] = 2
    pool = BlockingConnectionPool.from_url(url, max_connections=MAX_CONNECTIONS, timeout=POOL_TIMEOUT, **options)
    try:
        yield Redis(connection_pool=pool)
    finally:
        await pool.disconnect()
