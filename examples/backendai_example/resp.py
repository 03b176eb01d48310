# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The Redis protocol on the server's side: reading commands, writing replies in RESP2 and RESP3."""

import asyncio

MAX_ARGUMENTS = 10_000
MAX_ARGUMENT_SIZE = 64 << 20


class ProtocolError(Exception):
    """A client sent what is no command."""


async def read_command(reader: asyncio.StreamReader) -> list[bytes] | None:
    """The arguments of the next command, `None` at the end of the connection.

    Raises `ProtocolError` for anything but an array of bulk strings, which is all that client libraries send.
    """
    line = await reader.readline()
    if not line:
        return None
    arguments = []
    for _ in range(_length(line, b"*", MAX_ARGUMENTS)):
        size = _length(await reader.readline(), b"$", MAX_ARGUMENT_SIZE)
        arguments.append((await reader.readexactly(size + 2))[:-2])
    return arguments


def encode_reply(reply: object, protocol: int) -> bytes:
    """Encode a reply; `protocol` is 2 or 3. Raises `TypeError` for a type that Redis does not know."""
    match reply:
        case dict():
            items = b"".join(encode_reply(part, protocol) for item in reply.items() for part in item)
            encoded = (b"%%%d\r\n" % len(reply) if protocol == 3 else b"*%d\r\n" % (2 * len(reply))) + items
        case list() | tuple() | set() | frozenset():
            encoded = b"*%d\r\n" % len(reply) + b"".join(encode_reply(part, protocol) for part in reply)
        case Exception():
            encoded = encode_error(str(reply))
        case _:
            encoded = _encode_scalar(reply, protocol)
    return encoded


def encode_error(message: str) -> bytes:
    """Encode an error. The message begins with the error's code; `ERR` is added where it has none."""
    code = message.split(" ", 1)[0]
    text = message if code.isupper() else f"ERR {message}"
    return f"-{' '.join(text.split())}\r\n".encode()


def _encode_scalar(reply: object, protocol: int) -> bytes:
    match reply:
        case None:
            encoded = b"_\r\n" if protocol == 3 else b"$-1\r\n"
        case bool() if protocol == 3:
            encoded = b"#t\r\n" if reply else b"#f\r\n"
        case int():
            encoded = b":%d\r\n" % reply
        case float() if protocol == 3:
            encoded = f",{reply:.17g}\r\n".encode()
        case bytes() | str() | float():
            text = reply if isinstance(reply, bytes) else str(reply).encode()
            encoded = b"$%d\r\n%s\r\n" % (len(text), text)
        case _:
            raise TypeError(f"no reply: {type(reply).__name__}")
    return encoded


def _length(line: bytes, marker: bytes, limit: int) -> int:
    if not line.startswith(marker) or not line.endswith(b"\r\n"):
        raise ProtocolError(f"expected {marker!r}")
    try:
        length = int(line[1:-2])
    except ValueError as error:
        raise ProtocolError("expected a length") from error
    if not 0 <= length <= limit:
        raise ProtocolError("length out of range")
    return length
