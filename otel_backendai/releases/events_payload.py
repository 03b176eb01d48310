# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The messages of 25.11 to 26.8: ``MessagePayload``, which is read in the dispatcher's own task.

Never a key inside its ``metadata``: a consumer without the plugin answers one with a ``TypeError`` and gets the
message again and again. A message that is claimed is queued again as the raw fields that were read, ours included.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from otel_backendai.guard import Guard
from otel_backendai.hops.event_spans import HOP
from otel_backendai.names import EVENT_FIELD
from otel_backendai.propagators.event_metadata import render_event_field
from otel_backendai.releases.event_handling import arrived
from otel_backendai.releases.event_sending import sent_context

_TYPES = "ai.backend.common.message_queue.types"

_RENDER = Guard("events: render payload")


@HOP.wraps(_TYPES, "MessagePayload.serialize_anycast")
def _wrap_serialize_anycast(original: Callable[..., dict[bytes, bytes]]) -> Callable[..., dict[bytes, bytes]]:
    @functools.wraps(original)
    def serialize_anycast(self: Any) -> dict[bytes, bytes]:
        fields = original(self)
        with _RENDER:
            carried = _carried()
            if carried is not None:
                fields.setdefault(EVENT_FIELD.encode(), carried.encode())
        return fields

    return serialize_anycast


@HOP.wraps(_TYPES, "MessagePayload.serialize_broadcast")
def _wrap_serialize_broadcast(original: Callable[..., dict[str, str]]) -> Callable[..., dict[str, str]]:
    @functools.wraps(original)
    def serialize_broadcast(self: Any) -> dict[str, str]:
        fields = original(self)
        with _RENDER:
            carried = _carried()
            if carried is not None:
                fields.setdefault(EVENT_FIELD, carried)
        return fields

    return serialize_broadcast


def _carried() -> str | None:
    context = sent_context() if HOP.active else None
    return None if context is None else render_event_field(context)


@HOP.wraps(_TYPES, "MessagePayload.from_anycast")
@HOP.wraps(_TYPES, "MessagePayload.from_broadcast")
def _wrap_from(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def parse(cls: Any, fields: Mapping[Any, Any]) -> Any:
        payload = original(cls, fields)
        # Its caller hands the message to the handlers next, in this task.
        if HOP.active:
            arrived(payload.name, fields)
        return payload

    return parse
