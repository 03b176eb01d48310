# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What spans and log records have in common: resources and scopes, and their order in an export request.

``ResourceSpans`` and ``ResourceLogs``, ``ScopeSpans`` and ``ScopeLogs`` have the same fields under the same numbers.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from otel_backendai.otlp import wire
from otel_backendai.otlp.values import attributes

T = TypeVar("T")

# The encoded resource or scope, and its schema URL, which stands behind the children.
_Header = tuple[bytes, bytes]

_REQUEST_RESOURCES = 1
# Of ResourceSpans and ResourceLogs, and again of ScopeSpans and ScopeLogs.
_OWNER, _CHILDREN, _SCHEMA_URL = 1, 2, 3
_RESOURCE_ATTRIBUTES = 1
_SCOPE_NAME, _SCOPE_VERSION, _SCOPE_ATTRIBUTES = 1, 2, 3


class Batch:
    """Collects encoded items by resource and scope.

    Resources and scopes count as the same when they are written the same, whatever their classes say about equality;
    each is written once per batch. Never used for more than one: a resource's attributes follow its process.
    """

    def __init__(self) -> None:
        self._items: dict[_Header, dict[_Header, list[bytes]]] = {}
        # By identity. The objects are kept, so that no other one gets the same identity meanwhile.
        self._seen: dict[tuple[int, int], tuple[object, object, list[bytes]]] = {}

    def add(self, resource: Any, scope: Any, content: bytes) -> None:
        """Add the content of a ``Span`` or ``LogRecord``.

        Args:
            resource: The SDK's resource; ``None`` is written as an empty one.
            scope: The SDK's instrumentation scope; ``None`` is written as an empty one.
            content: The encoded item.
        """
        seen = self._seen.get((id(resource), id(scope)))
        if seen is None:
            scopes = self._items.setdefault(_header(resource, _resource), {})
            seen = (resource, scope, scopes.setdefault(_header(scope, _scope), []))
            self._seen[id(resource), id(scope)] = seen
        seen[2].append(wire.message(_CHILDREN, content))

    def request(self) -> bytes:
        """The whole ``ExportTraceServiceRequest`` or ``ExportLogsServiceRequest``."""
        parts = []
        for (resource, resource_schema), scopes in self._items.items():
            children = [
                wire.message(_CHILDREN, b"".join((scope, *items, scope_schema)))
                for (scope, scope_schema), items in scopes.items()
            ]
            parts.append(wire.message(_REQUEST_RESOURCES, b"".join((resource, *children, resource_schema))))
        return b"".join(parts)


def encode_all(items: Iterable[T], encode: Callable[[T], tuple[Any, Any, bytes]]) -> tuple[bytes, list[Exception]]:
    """Encode ``items`` into one request, without those that cannot be encoded.

    Args:
        items: Spans or log records.
        encode: Returns resource, scope and content of one item.

    Returns:
        The request, and the errors of what was left out: one bad item never costs the others.
    """
    batch = Batch()
    errors = []
    for item in items:
        try:
            batch.add(*encode(item))
        except Exception as error:
            errors.append(error)
    return batch.request(), errors


def _header(owner: Any, encode: Callable[[Any], bytes]) -> _Header:
    schema_url = None if owner is None else owner.schema_url
    return wire.message(_OWNER, encode(owner)), wire.text(_SCHEMA_URL, schema_url)


def _resource(resource: Any) -> bytes:
    return b"" if resource is None else attributes(_RESOURCE_ATTRIBUTES, resource.attributes)


def _scope(scope: Any) -> bytes:
    if scope is None:
        return b""
    return (
        wire.text(_SCOPE_NAME, scope.name)
        + wire.text(_SCOPE_VERSION, scope.version)
        + attributes(_SCOPE_ATTRIBUTES, scope.attributes)
    )
