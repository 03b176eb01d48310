# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Events on one Redis stream, in the form of Backend.AI 23.09: `name`, `source`, `args`, and `metadata` where given."""

import json
from collections.abc import Mapping
from typing import Any, cast

import msgpack
from redis.asyncio import Redis

STREAM = "events"
# Approximate, and far more than what waits to be read.
MAX_STREAM_LENGTH = 10_000

EventArgs = tuple[str, ...]
EventFields = dict[bytes, bytes]


async def send_event(
    redis: Redis, name: str, args: EventArgs, *, source: str, metadata: Mapping[str, str] | None = None
) -> None:
    """Append one event to the stream. Raises what the Redis client raises."""
    fields: EventFields = {b"name": name.encode(), b"source": source.encode(), b"args": msgpack.packb(args)}
    if metadata is not None:
        fields[b"metadata"] = json.dumps(dict(metadata)).encode()
    await redis.xadd(STREAM, cast("Any", fields), maxlen=MAX_STREAM_LENGTH, approximate=True)


def read_event(fields: EventFields) -> tuple[str, str, EventArgs]:
    """Name, source and arguments of an event. Raises `ValueError` when it is none."""
    try:
        args = msgpack.unpackb(fields[b"args"], use_list=False)
        return fields[b"name"].decode(), fields[b"source"].decode(), tuple(str(arg) for arg in args)
    except (KeyError, TypeError, ValueError, msgpack.UnpackException) as error:
        raise ValueError(f"not an event: {error!r}") from error


def read_metadata(fields: EventFields) -> object:
    """The decoded metadata of an event, `None` when there is none or it is not JSON."""
    try:
        return json.loads(fields.get(b"metadata", b"null"))
    except ValueError:
        return None
