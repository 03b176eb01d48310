# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Protobuf's wire format, read: the counterpart of ``wire``.

A field is known by its tag, number and wire type in one: one that comes with another type than expected is passed over
like any unknown field, as protobuf wants.
"""

import struct
from collections.abc import Iterator

_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_SHIFT = 63
_MASK_64 = (1 << 64) - 1

_unpack_double = struct.Struct("<d").unpack

Field = tuple[int, int | bytes]


class WireError(ValueError):
    """Bytes that are no protobuf message. The text does not repeat them."""


def varint_tag(field: int) -> int:
    """The tag of an integer, enumeration or bool."""
    return field << 3 | _VARINT


def fixed64_tag(field: int) -> int:
    """The tag of a fixed64 or double."""
    return field << 3 | _FIXED64


def length_tag(field: int) -> int:
    """The tag of a string, of bytes or of a message."""
    return field << 3 | _LENGTH_DELIMITED


def read_fields(content: bytes) -> Iterator[Field]:
    """The fields of a message in their order: tag, and an unsigned number or the bytes of what has a length.

    Raises:
        WireError: While iterating, at what cannot be read.
    """
    position, end = 0, len(content)
    while position < end:
        tag, position = _read_varint(content, position)
        if tag >> 3 == 0:
            raise WireError("a field has the number 0")
        wire_type = tag & 7
        if wire_type == _VARINT:
            number, position = _read_varint(content, position)
            yield tag, number
            continue
        if wire_type == _LENGTH_DELIMITED:
            size, position = _read_varint(content, position)
        elif wire_type in (_FIXED64, _FIXED32):
            size = 8 if wire_type == _FIXED64 else 4
        else:
            raise WireError("a field has a wire type that proto3 does not have")
        if size > end - position:
            raise WireError("a field is longer than its message")
        part = content[position : position + size]
        position += size
        yield tag, part if wire_type == _LENGTH_DELIMITED else int.from_bytes(part, "little")


def signed(number: int) -> int:
    """An int64 from its unsigned form."""
    return number - (1 << 64) if number >> 63 else number


def double(number: int) -> float:
    """A double from its eight bytes as a number."""
    value: float = _unpack_double(number.to_bytes(8, "little"))[0]
    return value


def text(content: bytes) -> str:
    """A string. Raises ``WireError`` for what is no UTF-8."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise WireError("a string is not UTF-8") from None


def _read_varint(content: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    try:
        while (byte := content[position]) & 0x80:
            number |= (byte & 0x7F) << shift
            shift += 7
            position += 1
            if shift > _MAX_VARINT_SHIFT:
                raise WireError("a number has more than ten bytes")
    except IndexError:
        raise WireError("a number ends too early") from None
    return (number | byte << shift) & _MASK_64, position + 1
