# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Attributes and bodies: ``AnyValue`` and ``KeyValue`` of opentelemetry/proto/common/v1/common.proto."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from otel_backendai.otlp import wire

_STRING, _BOOL, _INT, _DOUBLE, _ARRAY, _KEY_VALUE_LIST, _BYTES = 1, 2, 3, 4, 5, 6, 7
_ELEMENTS = 1
_KEY, _VALUE = 1, 2

# Deeper values become text. Parsers refuse more than 100 nested messages; a level of values takes up to three of them,
# and seven lie around an attribute. It also ends values that contain themselves.
_MAX_DEPTH = 20


def any_value(value: object, depth: int = 0) -> bytes:
    """The content of an ``AnyValue``; empty for ``None``, which is how the protocol spells it.

    Integers beyond 64 bits, unknown types and what is nested too deeply become text. Raises nothing but what a
    container of the application raises when it is read.
    """
    encode = _SCALARS.get(type(value))
    return _derived(value, depth) if encode is None else encode(value)


def attributes(field: int, given: Mapping[str, Any] | None) -> bytes:
    """``given`` as a repeated field of ``KeyValue``; empty for ``None``."""
    return b"".join([_key_value(field, key, value, 0) for key, value in given.items()]) if given else b""


def _key_value(field: int, key: object, value: object, depth: int) -> bytes:
    name = wire.text(_KEY, key if isinstance(key, str) else _as_text(key))
    return wire.message(field, name + wire.message(_VALUE, any_value(value, depth)))


def _derived(value: object, depth: int) -> bytes:
    for kind, encode in _SCALARS.items():
        if isinstance(value, kind):
            return encode(value)
    if depth < _MAX_DEPTH:
        if isinstance(value, Sequence):
            elements = [wire.message(_ELEMENTS, any_value(element, depth + 1)) for element in value]
            return wire.message(_ARRAY, b"".join(elements))
        if isinstance(value, Mapping):
            pairs = [_key_value(_ELEMENTS, key, element, depth + 1) for key, element in value.items()]
            return wire.message(_KEY_VALUE_LIST, b"".join(pairs))
    return _string(_as_text(value))


def _string(value: str) -> bytes:
    return wire.message(_STRING, wire.utf8(value))


def _integer(value: int) -> bytes:
    try:
        return wire.int64(_INT, value)
    except OverflowError:
        return _string(_as_text(value))


_SCALARS: dict[type, Callable[[Any], bytes]] = {
    str: _string,
    bool: partial(wire.boolean, _BOOL),
    int: _integer,
    float: partial(wire.double, _DOUBLE),
    bytes: partial(wire.message, _BYTES),
    type(None): lambda _: b"",
}


def _as_text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        # An application's own `__str__`, or an integer of more digits than Python converts.
        return f"<{type(value).__qualname__}>"
