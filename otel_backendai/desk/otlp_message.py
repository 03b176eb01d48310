# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A protobuf message whose fields are asked for by number and type."""

from collections import defaultdict

from otel_backendai.otlp import reader
from otel_backendai.otlp.reader import fixed64_tag, length_tag, varint_tag


class Budget:
    """How many fields a message may have, with all that is in it.

    Args:
        fields: So many.
    """

    def __init__(self, fields: int) -> None:
        self._left = fields

    def spend(self, fields: int) -> None:
        """Count ``fields``. Raises ``BudgetError`` when it is too much."""
        self._left -= fields
        if self._left < 0:
            raise BudgetError


class BudgetError(Exception):
    """A message has more fields than it may."""


class Message:
    """The fields of ``content``; each accessor gives proto3's default for a field that is not there.

    Args:
        content: Its bytes.
        budget: For its fields, and for those of the messages in it.

    Raises:
        BudgetError: It has more fields than ``budget`` has left.
        WireError: ``content`` is no message; from ``text`` for what is no UTF-8, from ``message`` and ``messages`` for
            what is no message in turn.
    """

    def __init__(self, content: bytes, budget: Budget) -> None:
        self.budget = budget
        self._numbers: dict[int, int] = {}
        self._contents: defaultdict[int, list[bytes]] = defaultdict(list)
        for tag, value in reader.read_fields(content):
            budget.spend(1)
            if isinstance(value, int):
                self._numbers[tag] = value
            else:
                self._contents[tag].append(value)

    def number(self, field: int) -> int:
        """An unsigned integer or enumeration."""
        return self._numbers.get(varint_tag(field), 0)

    def fixed64(self, field: int) -> int:
        """A fixed64."""
        return self._numbers.get(fixed64_tag(field), 0)

    def contents(self, field: int) -> list[bytes]:
        """The values of a repeated field, as they are."""
        return self._contents.get(length_tag(field), [])

    def content(self, field: int) -> bytes:
        """Bytes: of several values the last one."""
        contents = self.contents(field)
        return contents[-1] if contents else b""

    def text(self, field: int) -> str:
        """A string."""
        return reader.text(self.content(field))

    def messages(self, field: int) -> list["Message"]:
        """The values of a repeated message."""
        return [Message(content, self.budget) for content in self.contents(field)]

    def message(self, field: int) -> "Message":
        """A message; several values are merged, which for protobuf is the same as one behind the other."""
        return Message(b"".join(self.contents(field)), self.budget)
