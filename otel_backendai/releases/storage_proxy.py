# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Which folder a request to the storage-proxy is about: in the manager's JSON body, or in the token of a client's URL.

Routes say nothing of it (``/folder/file/upload``, ``/upload``). What the storage-proxy itself has read and checked is
looked at, in the same place in all releases; nothing is read twice, and no token is opened by us.
"""

import functools
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from opentelemetry.trace import get_current_span

from otel_backendai.guard import Guard
from otel_backendai.hops.http_server import HOP, is_serving
from otel_backendai.releases.entities import event_entities

_NAME = Guard("storage-proxy: folder")

_TOKEN = "token"  # noqa: S105  # the name of a parameter
_FOLDER = "vfid"


class _Naming:
    """In the place of ``check_params(...)``: what it checked names the folder on the span of the request."""

    def __init__(self, checking: AbstractAsyncContextManager[Any]) -> None:
        self._checking = checking

    async def __aenter__(self) -> Any:
        params = await self._checking.__aenter__()
        with _NAME:
            if isinstance(params, Mapping) and is_serving():
                token = params.get(_TOKEN)
                get_current_span().set_attributes(event_entities(token if isinstance(token, Mapping) else params))
        return params

    async def __aexit__(self, *error: Any) -> bool | None:
        return await self._checking.__aexit__(*error)


# Where it is used, and not where it is defined: both modules import the name.
@HOP.wraps("ai.backend.storage.api.client", "check_params")
@HOP.wraps("ai.backend.storage.api.manager", "check_params")
def _wrap_check_params(original: Callable[..., AbstractAsyncContextManager[Any]]) -> Callable[..., Any]:
    @functools.wraps(original)
    def check_params(*args: Any, **kwargs: Any) -> AbstractAsyncContextManager[Any]:
        checking = original(*args, **kwargs)
        return _Naming(checking) if HOP.active else checking

    return check_params


# Archives (26.4 on) take the newer way of handlers, in which `check_params` has no part.
@HOP.wraps("ai.backend.storage.api.manager", "log_manager_api_entry")
def _wrap_log_entry(original: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def log_manager_api_entry(log: Any, name: str, params: Any) -> None:
        _name_folder_of(params)
        await original(log, name, params)

    return log_manager_api_entry


@HOP.wraps("ai.backend.storage.api.client", "PydanticJWTValidator.validate")
def _wrap_validate(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def validate(*args: Any, **kwargs: Any) -> Any:
        token = original(*args, **kwargs)
        _name_folder_of(token)
        return token

    return validate


def _name_folder_of(model: Any) -> None:
    with _NAME:
        folder = getattr(model, "virtual_folder_id", None)
        if folder is not None and is_serving():
            get_current_span().set_attributes(event_entities({_FOLDER: folder}))
