# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Whether a connection of redis-py has something to read: asked without reading it."""

import select
from typing import Any


def has_arrived(connection: Any, seconds: float) -> bool:
    """Whether something can be read from ``connection``, or that it was closed, within so many seconds.

    Raises:
        Exception: It is not connected.
    """
    # Not `connection.can_read`, which reads, and sets the socket's time-out.
    poll = select.poll()
    poll.register(connection._sock, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
