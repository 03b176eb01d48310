# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The messages up to 25.5: straight above a Redis stream (``common/events.py``).

One is built inside ``produce_event`` and handed to ``XADD`` of redis-py, where the events hop adds its field.
"""

import functools
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from otel_backendai.guard import Guard
from otel_backendai.hops.event_spans import HOP
from otel_backendai.names import EVENT_NAME
from otel_backendai.propagators.w3c import field
from otel_backendai.releases.arguments import Argument
from otel_backendai.releases.event_handling import arrived

_READ = Guard("events: read")


@HOP.wraps("ai.backend.common.redis_helper", "read_stream")
@HOP.wraps("ai.backend.common.redis_helper", "read_stream_by_group")
@HOP.wraps("ai.backend.common.events_experimental", "read_stream")
@HOP.wraps("ai.backend.common.events_experimental", "read_stream_by_group")
def _wrap_read(original: Callable[..., AsyncGenerator[Any, None]]) -> Callable[..., AsyncGenerator[Any, None]]:
    stream = Argument(original, 1)

    @functools.wraps(original)
    async def read(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        async with aclosing(original(*args, **kwargs)) as messages:
            async for message in messages:
                # What is set in a generator is seen by the task that drives it, and by the tasks that it makes.
                if HOP.active:
                    with _READ:
                        message_id, fields = message
                        name = None if fields is None else field(fields, EVENT_NAME)
                        arrived(name, fields, message_id, stream.of(args, kwargs))
                yield message

    return read
