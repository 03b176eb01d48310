# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What nobody should send, and somebody will."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest


class Text(str):
    """A subclass of str, like yarl's and multidict's: msgpack with strict types drops the whole message."""

    __slots__ = ()


class Table(dict[Any, Any]):
    """A subclass of dict."""


class RaisingMapping(Mapping[Any, Any]):
    """A mapping whose every method raises."""

    def __getitem__(self, key: object) -> Any:
        raise RuntimeError("item")

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("iteration")

    def __len__(self) -> int:
        raise RuntimeError("length")

    def get(self, key: object, default: object = None) -> Any:
        """Raise."""
        raise RuntimeError("get")


def nested(depth: int) -> dict[str, Any]:
    """A dict in a dict in a dict."""
    inner: dict[str, Any] = {}
    for _ in range(depth):
        inner = {"headers": inner, "metadata": inner, "args": (), "request_id": inner}
    return inner


# Values where a request ID, a header or a whole carrier is expected. Functions, because tests may change them.
VALUES: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "number": lambda: 5,
    "float": lambda: float("nan"),
    "bool": lambda: True,
    "empty": lambda: "",
    "blank": lambda: " ",
    "too long": lambda: "x" * 129,
    "10 kB": lambda: "x" * 10_000,
    "megabytes": lambda: "x" * 3_000_000,
    "megabytes of bytes": lambda: b"x" * 3_000_000,
    "LF": lambda: "req\n1",
    "trailing LF": lambda: "req-1\n",
    "CRLF": lambda: "req\r\nSet-Cookie: a=b",
    "NUL": lambda: "req\x001",
    "non-ASCII": lambda: "réq",
    "other digits": lambda: "req-١",  # noqa: RUF001  # that is the point
    "lone surrogate": lambda: "req-\ud800",
    "bytes that are no UTF-8": lambda: b"\xff\xfe",
    "list": lambda: ["req-1"],
    "tuple of two": lambda: ("req-1", "req-2"),
    "set": lambda: {"req-1"},
    "dict": lambda: {"request_id": "nested"},
    "deep": lambda: nested(3_000),
    "object": object,
    "raising mapping": RaisingMapping,
    "exception": lambda: ValueError("x"),
    "function": lambda: lambda: "req-1",
}

any_value = pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)
