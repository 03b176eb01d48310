# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the newest adapters expect is in the newest release, and is all that they wrap there."""

import importlib
import pkgutil
from types import ModuleType

import pytest

from otel_backendai import instrumentors, releases
from otel_backendai.patching import Hop
from otel_backendai.releases import expected


@pytest.mark.families("26.9")
def test_everything_is_there() -> None:
    """In the modules themselves, and in their files."""
    assert expected.missing_targets(expected.TARGETS) == []
    for module, _ in expected.TARGETS:
        importlib.import_module(module)
    assert expected.missing_targets(expected.TARGETS) == []


def adapters() -> list[ModuleType]:
    """All modules of the room."""
    return [
        importlib.import_module(f"{releases.__name__}.{found.name}")
        for found in pkgutil.iter_modules(releases.__path__)
    ]


@pytest.mark.families("26.9")
def test_nothing_is_forgotten() -> None:
    """Whatever an adapter wraps in the newest release is expected in one that comes after it."""
    hops = {id(hop): hop for module in adapters() for hop in vars(module).values() if isinstance(hop, Hop)}
    for kind in instrumentors.BY_NAME.values():
        hop = kind().hop
        hops[id(hop)] = hop
    wrapped = {(target.module, target.path) for hop in hops.values() for target in hop._targets}
    there = set()
    for module, path in wrapped:
        if module.startswith("ai.backend."):
            try:
                importlib.import_module(module)
            except ImportError:
                continue  # of an older release
            there.add((module, path))
    missing = set(expected.missing_targets(there))
    assert {f"{module}:{path}" for module, path in there} - missing <= {f"{m}:{p}" for m, p in expected.TARGETS}
