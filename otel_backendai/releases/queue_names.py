# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Where a message queue of Backend.AI (25.6 on) sends to and reads from: one stream up to 25.10, then also a channel.

Every function answers ``None`` for a queue that does not tell.
"""

from typing import Any


def anycast_stream(queue: Any) -> object:
    """The stream that the queue sends to."""
    found = getattr(getattr(queue, "_anycaster", queue), "_stream_key", None)
    return found or getattr(queue, "_anycast_stream_key", None)


def broadcast_channel(queue: Any) -> object:
    """The channel that the queue broadcasts to."""
    found = getattr(getattr(queue, "_broadcaster", queue), "_channel", None)
    return found or getattr(queue, "_broadcast_channel", None)


def consumed_stream(queue: Any) -> object:
    """The stream that the queue reads; none when it reads several, because a message does not say which."""
    return _only(getattr(getattr(queue, "_consumer", queue), "_stream_keys", None)) or getattr(
        queue, "_stream_key", None
    )


def subscribed_channel(queue: Any) -> object:
    """The channel that the queue listens to, likewise."""
    return _only(getattr(getattr(queue, "_subscriber", queue), "_channels", None)) or getattr(
        queue, "_stream_key", None
    )


def _only(names: Any) -> object:
    return next(iter(names)) if names is not None and len(names) == 1 else None
