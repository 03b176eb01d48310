# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Backend.AI's own request ID (25.6 on) and ours are one: what stands in the place of its two context variables.

Everything in Backend.AI goes through ``current_request_id()`` and ``with_request_id()``, which look the variable up in
their module at each call. What stands there reads the request ID from baggage, and binds there what the application
sets, so that the two cannot differ in any handler and nothing has to be copied when a context is attached. What is no
request ID (a header of 3000 characters, a lone surrogate, an empty one) never gets in: on 26.9 one of those in an RPC
body makes the caller wait for ever.
"""

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import create_key

from otel_backendai import request_id
from otel_backendai.counters import count_minted, count_rejected
from otel_backendai.guard import Guard
from otel_backendai.hops.http_server import is_serving
from otel_backendai.names import LOG_REQUEST_ID, ORIGIN_HTTP
from otel_backendai.patching import Hop
from otel_backendai.releases.arguments import Argument

HOP = Hop("request_context")

_READ = Guard("request context: read")
_BIND = Guard("request context: bind")

_BOUND = create_key("otel-backendai-bound-by-application")


class _RequestIdVar:
    """In the place of ``_request_id_var``. Tokens are the real variable's: ``reset`` works after we are gone, too."""

    def __init__(self, variable: ContextVar[str]) -> None:
        self._variable = variable

    def get(self, *default: Any) -> Any:
        with _READ:
            current = request_id.read()
            if current is not None:
                return current
        found = self._variable.get(*default)
        return found if request_id.is_acceptable(found) else None

    def set(self, value: Any) -> Token[str]:
        current = request_id.read()
        with _BIND:
            value = _acceptable(value, current)
        token = self._variable.set(value)
        if value != current:
            with _BIND:
                # Kept in the context that it will take away, so that nothing outlives the request.
                bound: list[Any] = [token]
                bound.append(context_api.attach(context_api.set_value(_BOUND, bound, request_id.bind(value))))
        return token

    def reset(self, token: Token[str]) -> None:
        with _BIND:
            bound = context_api.get_value(_BOUND)
            if isinstance(bound, list) and bound[0] is token:
                context_api.detach(bound[1])
        self._variable.reset(token)


def _acceptable(value: object, current: str | None) -> str:
    if request_id.is_acceptable(value):
        return value
    if current is not None:
        return current
    # Only without the HTTP server hop: that one has given every request an ID before any middleware runs.
    if value:
        count_rejected(ORIGIN_HTTP)
    count_minted(ORIGIN_HTTP)
    return request_id.mint()


class _LogFieldsVar:
    """In the place of ``_log_context_fields``: records of a request name it, also where a middleware says null."""

    def __init__(self, variable: ContextVar[Mapping[str, Any]]) -> None:
        self._variable = variable

    def get(self, *default: Any) -> Any:
        fields = self._variable.get(*default)
        with _READ:
            current = request_id.read()
            if current is None and LOG_REQUEST_ID in fields and not request_id.is_acceptable(fields[LOG_REQUEST_ID]):
                return {**fields, LOG_REQUEST_ID: None}
            if current is not None and fields.get(LOG_REQUEST_ID) != current:
                return {**fields, LOG_REQUEST_ID: current}
        return fields

    def set(self, value: Mapping[str, Any]) -> Token[Mapping[str, Any]]:
        return self._variable.set(value)

    def reset(self, token: Token[Mapping[str, Any]]) -> None:
        self._variable.reset(token)


HOP.wraps("ai.backend.common.contexts.request_id", "_request_id_var")(_RequestIdVar)
HOP.wraps("ai.backend.logging.utils", "_log_context_fields")(_LogFieldsVar)


@HOP.wraps("ai.backend.common.middlewares.request_id", "with_request_id")
def _wrap_with_request_id(
    original: Callable[..., AbstractContextManager[None]],
) -> Callable[..., AbstractContextManager[None]]:
    # The middleware knows one header of the three. Where our server hop has read them all, its answer stands.
    given = Argument(original, 0)

    @functools.wraps(original)
    def with_request_id(*args: Any, **kwargs: Any) -> AbstractContextManager[None]:
        with _READ:
            value = request_id.read() if HOP.active and is_serving() else None
            if value is not None:
                args, kwargs = given.replaced(args, kwargs, value) if args or kwargs else ((value,), {})
        return original(*args, **kwargs)

    return with_request_id
