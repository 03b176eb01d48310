# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What components complain about in their logs, told apart from what they complain about anyway."""

import re
from collections.abc import Mapping, Sequence

from tests.realstack.matrix.sentences import some

_COMPLAINT = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b|^Traceback|^\w+(\.\w+)*(Error|Exception)\b")
# What an agent says that starts a moment before its manager: all components of a stack are started at once.
_ORDER_OF_START = re.compile(r"watching etcd to wait for the manager being available")
# What differs between two runs in which the same thing happens.
_TAG = re.compile(r" \[request_id=[^\]]*\]$")  # what the plugin adds
_VARIABLE = (
    re.compile(r"\b[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\b"),
    re.compile(r"\b(?=[a-z]*\d)[0-9a-z]{7,}\b"),
    re.compile(r"0x[0-9a-f]+|\d+"),
)


def complaints(lines: Sequence[str]) -> list[str]:
    """The warnings, errors and exceptions among ``lines``, without what differs each time, each one once."""
    return list(dict.fromkeys(_general(line) for line in lines if _is_complaint(line)))


def new_complaints(before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]) -> list[str]:
    """What each component complains about in ``after`` and did not in ``before``; both are lines by component.

    What another component complained about excuses nobody: what the agent may say is not the manager's to say.
    """
    known = {name: set(complaints(lines)) for name, lines in before.items()}
    return [
        sentence
        for name, lines in sorted(after.items())
        for sentence in some(f"{name}: {text}" for text in complaints(lines) if text not in known.get(name, ()))
    ]


def _is_complaint(line: str) -> bool:
    return bool(_COMPLAINT.search(line)) and not _ORDER_OF_START.search(line)


def _general(line: str) -> str:
    line = _TAG.sub("", line)
    for pattern in _VARIABLE:
        line = pattern.sub("#", line)
    return line.strip()
