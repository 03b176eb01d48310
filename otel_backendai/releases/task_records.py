# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The request that started a background task, in Backend.AI's own record of the task (25.15 to 26.9).

Such a task is written into Valkey as a hash, so that another process runs it again when the one that did died. One
more field there holds the context, in the form that is kept with sessions: it lives exactly as long as the record,
costs no command, and is there when the record is read, so nothing has to be waited for. Releases without the plugin
read the fields that they know.
"""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Link

from otel_backendai.guard import Guard
from otel_backendai.hops import deferred
from otel_backendai.hops.background import HOP
from otel_backendai.hops.kept import Kept
from otel_backendai.hops.kept_settings import is_store_wanted
from otel_backendai.hops.quiet_span import woken
from otel_backendai.names import TASK_FIELD
from otel_backendai.propagators.kept_value import parse_kept_value, render_kept_value

_KEEP = Guard("bgtask: keep the context")
_FIND = Guard("bgtask: find the context")

_TYPES = "ai.backend.common.bgtask.types"
_FIELD = TASK_FIELD.encode()
# What we leave on an object of Backend.AI; it has no slots and is never compared by what it has beyond its fields.
_ATTRIBUTE = "_otel_backendai_kept"


@HOP.wraps(_TYPES, "TaskInfo.to_valkey_hash_fields")
def _wrap_to_fields(original: Callable[..., dict[Any, Any]]) -> Callable[..., Any]:
    @functools.wraps(original)
    def to_valkey_hash_fields(self: Any) -> dict[Any, Any]:
        fields = original(self)
        if HOP.active and is_store_wanted():
            with _KEEP:
                value = render_kept_value(woken(context_api.get_current()), time.time())
                return fields if value is None else {**fields, _FIELD: value}
        return fields

    return to_valkey_hash_fields


@HOP.wraps(_TYPES, "TaskInfo.from_valkey_hash_fields")
def _wrap_from_fields(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def from_valkey_hash_fields(cls: Any, data: Mapping[Any, Any]) -> Any:
        info = original(cls, data)
        if HOP.active:
            with _FIND:
                setattr(info, _ATTRIBUTE, parse_kept_value(data.get(_FIELD)))
        return info

    return from_valkey_hash_fields


def context_of_record(task_info: object) -> tuple[Context, list[Link]]:
    """Return context and links for a task that was read back; those of nobody when its record names no request.

    Within an hour after the request it is part of the request's trace, later one that is linked to it.
    """
    with _FIND:
        kept = getattr(task_info, _ATTRIBUTE, None)
        if kept is not None:
            return deferred.context_of(Kept(*kept))
    return Context(), []
