# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``releases/FAMILY/hops.toml``: what its scenario takes over each hop."""

import tomllib
from pathlib import Path
from typing import Any

from tests.realstack.matrix.observation import Expectation, Hop, Journey

_KEYS = ("http_in", "http_out", "websocket", "rpc", "event_out", "event_in", "background", "log_records")
_JOURNEY_KEYS = ("calls", "websocket", "program")


def read_expectation(path: Path) -> Expectation:
    """The expectation in a file.

    Raises:
        ValueError: A key is not known, or the reason of an absence is missing.
    """
    content: dict[str, Any] = tomllib.loads(path.read_text())
    absent = {Hop(name): str(reason).strip() for name, reason in content.pop("absent", {}).items()}
    journeys = {title: _journey(path, title, entry) for title, entry in content.pop("journeys", {}).items()}
    native_rpc = bool(content.pop("native_rpc", False))
    no_otel = str(content.pop("no_otel", ""))
    if unknown := set(content) - set(_KEYS):
        raise ValueError(f"{path}: {', '.join(sorted(unknown))} is not known")
    if not all(absent.values()):
        raise ValueError(f"{path}: absent without a reason")
    hops = {key: [_entry(entry) for entry in entries] for key, entries in content.items()}
    return Expectation(**hops, absent=absent, journeys=journeys, native_rpc=native_rpc, no_otel=no_otel)


def _journey(path: Path, title: str, content: dict[str, Any]) -> Journey:
    if unknown := set(content) - set(_JOURNEY_KEYS):
        raise ValueError(f"{path}: journey {title}: {', '.join(sorted(unknown))} is not known")
    pairs = {key: [_entry(entry) for entry in content.get(key, ())] for key in ("calls", "websocket")}
    return Journey(pairs["calls"], pairs["websocket"], program=bool(content.get("program")))


def _entry(entry: Any) -> Any:
    """A component's name, or caller and called of ``a -> b``."""
    return tuple(entry.split(" -> ")) if " -> " in entry else entry
