# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What a scenario noted of its steps, without what is another one in every run: two runs can be compared by it."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from otel_backendai.names import HEADER_RESPONSE_REQUEST_ID
from tests.realstack.matrix.observation import Step

# JSON web tokens, UUIDs, points in time, seconds since the epoch, IDs in hexadecimal digits (also at the end of names),
# ports of a URL.
_VARYING: Final = re.compile(
    r"eyJ[\w-]+(?:\.[\w-]+)*"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|\b\d{10}\.\d+"
    r"|\b[0-9a-f]{8,}\b"
    r"|(?<=:)\d{4,5}(?=[/\"?])",
    re.IGNORECASE,
)
_MASK: Final = "*"
# The statuses that a poll came to see: which of the short ones is chance, the last one is not.
_SEEN: Final = "seen"
# What the plugin is to add, by name and, in some notes, with a value.
_OURS: Final = HEADER_RESPONSE_REQUEST_ID.lower()


def masked(note: Mapping[str, object]) -> dict[str, str]:
    """A note's parts as texts, in which IDs, times, tokens and ports are masked and our response header is left out."""
    return {name: _VARYING.sub(_MASK, json.dumps(_kept(name, value), sort_keys=True)) for name, value in note.items()}


def note_differences(without: Iterable[Step], with_plugin: Iterable[Step]) -> list[str]:
    """What steps of the same title noted on one side only, over all of their runs; nothing of steps that failed."""
    sides = {"without": _noted(without), "with": _noted(with_plugin)}
    found = []
    for how, other in (("without", "with"), ("with", "without")):
        for (title, name), texts in sides[how].items():
            more = sorted(texts - sides[other].get((title, name), set()))
            # A title that one side lacks is another difference, and told as such.
            if more and any(known == title for known, _ in sides[other]):
                found.append(f"{title} notes only {how} the plugin: {name}={more[0]}")
    return found


def _noted(steps: Iterable[Step]) -> dict[tuple[str, str], set[str]]:
    noted: dict[tuple[str, str], set[str]] = defaultdict(set)
    for step in steps:
        if not step.error:
            noted[step.title, ""].add("")
            for name, text in masked(step.note).items():
                noted[step.title, name].add(text)
    return noted


def _kept(name: str, value: object) -> object:
    if not isinstance(value, list):
        return value
    if name == _SEEN:
        return value[-1:]
    return [one for one in value if not str(one).lower().startswith(_OURS)]
