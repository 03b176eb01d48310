# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A mapping with a limit: what was unused for the longest time goes."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The ``limit`` entries that were put or asked for last. Not for several threads at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value of ``key``, which is recent from now on; ``None`` when there is none."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Set the value of ``key``."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def forget(self, key: K) -> None:
        """Take the value of ``key`` out, if there is one."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Take all entries out."""
        self._entries.clear()
