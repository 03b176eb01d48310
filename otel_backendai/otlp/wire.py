# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Protobuf's wire format: https://protobuf.dev/programming-guides/encoding/

Every function returns one whole field (tag and value) as bytes, and ``b""`` for a value that proto3 leaves out because
it is the default. Where presence matters (oneofs, messages) use the functions that always write.
"""

import struct

_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5

_MASK_64 = (1 << 64) - 1
_pack_fixed64 = struct.Struct("<Q").pack
_pack_fixed32 = struct.Struct("<I").pack
_pack_double = struct.Struct("<d").pack


def varint(number: int) -> bytes:
    """``number`` (0 to 2**64 - 1), seven bits per byte, the lowest first."""
    if number < 0x80:
        return _ONE_BYTE[number]
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_ONE_BYTE = [bytes((number,)) for number in range(0x80)]


def _tag(field: int, wire_type: int) -> bytes:
    # All fields of OTLP that we write have numbers up to 16 and so tags of one or two bytes.
    return varint(field << 3 | wire_type)


_VARINT_TAGS = [_tag(field, _VARINT) for field in range(32)]
_FIXED64_TAGS = [_tag(field, _FIXED64) for field in range(32)]
_FIXED32_TAGS = [_tag(field, _FIXED32) for field in range(32)]
_LENGTH_TAGS = [_tag(field, _LENGTH_DELIMITED) for field in range(32)]


def message(field: int, content: bytes) -> bytes:
    """A message, or bytes whose presence matters; also when empty."""
    return _LENGTH_TAGS[field] + varint(len(content)) + content


def raw_bytes(field: int, content: bytes) -> bytes:
    """A field of type ``bytes``."""
    return message(field, content) if content else b""


def text(field: int, content: str | None) -> bytes:
    """A field of type ``string``; ``None`` is written as nothing."""
    return message(field, utf8(content)) if content else b""


def utf8(content: str) -> bytes:
    r"""``content`` in UTF-8, lone surrogates as ``\udcff``: a receiver refuses a whole request for one of them.

    Python makes such strings from file names that are not UTF-8.
    """
    try:
        return content.encode()
    except UnicodeEncodeError:
        return content.encode(errors="backslashreplace")


def int64(field: int, number: int) -> bytes:
    """A field of type ``int64`` whose presence matters; negative numbers take ten bytes.

    Raises:
        OverflowError: ``number`` does not fit into 64 bits.
    """
    if not -0x8000_0000_0000_0000 <= number <= 0x7FFF_FFFF_FFFF_FFFF:
        raise OverflowError("more than 64 bits")
    return _VARINT_TAGS[field] + varint(number & _MASK_64)


def unsigned(field: int, number: int | None) -> bytes:
    """A field of type ``uint32`` or of an enumeration; ``None`` is written as nothing."""
    return _VARINT_TAGS[field] + varint(number) if number else b""


def boolean(field: int, value: bool) -> bytes:
    """A field of type ``bool`` whose presence matters."""
    return _VARINT_TAGS[field] + (b"\x01" if value else b"\x00")


def double(field: int, number: float) -> bytes:
    """A field of type ``double`` whose presence matters; infinities and NaN included."""
    return _FIXED64_TAGS[field] + _pack_double(number)


def fixed64(field: int, number: int | None) -> bytes:
    """A field of type ``fixed64``; ``None`` is written as nothing. Raises ``struct.error`` beyond 64 bits."""
    return _FIXED64_TAGS[field] + _pack_fixed64(number) if number else b""


def fixed32(field: int, number: int | None) -> bytes:
    """A field of type ``fixed32``; ``None`` is written as nothing. Raises ``struct.error`` beyond 32 bits."""
    return _FIXED32_TAGS[field] + _pack_fixed32(number) if number else b""
