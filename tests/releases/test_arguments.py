# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Whatever is wrapped in a release can be called as without us, by position and by that release's own names."""

import importlib
import inspect
from collections.abc import Iterator
from inspect import Parameter, Signature
from typing import Any

from otel_backendai import instrumentors
from otel_backendai.releases import own_tracing
from otel_backendai.sdk import processes

HOPS = [*(kind().hop for kind in instrumentors.BY_NAME.values()), processes.HOP, own_tracing.HOP]


def wrapped() -> Iterator[tuple[str, Signature, Signature]]:
    """What of this release is wrapped: its name, and how it and its replacement are called."""
    for hop in HOPS:
        for target in hop._targets:
            try:
                found: Any = importlib.import_module(target.module)
                for name in target.path.split("."):
                    found = getattr(found, name)
            except (ImportError, AttributeError):
                continue  # of another release
            if inspect.isroutine(found):
                function = getattr(found, "__func__", found)
                replacement = target.wrapper(function)
                yield (
                    f"{target.module}:{target.path}",
                    inspect.signature(function),
                    inspect.signature(replacement, follow_wrapped=False),
                )


def is_taken(replacement: Signature, parameter: Parameter, position: int) -> bool:
    """Whether a call may pass ``parameter``, the one at ``position``, by name and by position."""
    kinds = {one.kind for one in replacement.parameters.values()}
    named = [one.name for one in replacement.parameters.values() if one.kind is Parameter.POSITIONAL_OR_KEYWORD]
    if parameter.kind is Parameter.POSITIONAL_ONLY:
        return position < len(named) or Parameter.VAR_POSITIONAL in kinds
    if position < len(named):
        return parameter.kind is Parameter.POSITIONAL_OR_KEYWORD and named[position] == parameter.name
    by_position = parameter.kind is Parameter.KEYWORD_ONLY or Parameter.VAR_POSITIONAL in kinds
    return by_position and Parameter.VAR_KEYWORD in kinds


def test_every_call_of_the_release_is_taken() -> None:
    """Parameters are renamed from release to release; one that a wrapper names has this release's name, or none."""
    checked, refused = set(), set()
    for name, original, replacement in wrapped():
        checked.add(name)
        for position, parameter in enumerate(original.parameters.values()):
            is_named = parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
            if is_named and not is_taken(replacement, parameter, position):
                refused.add(f"{name}({parameter.name})")
    assert len(checked) >= 40
    assert refused == set()
