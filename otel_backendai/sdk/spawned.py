# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Workers that are spawned: a new interpreter, which the parent's launcher does not reach.

Backend.AI's storage-proxy spawns its workers (25.15 on), and ``opentelemetry-instrument`` of the 0.60 train takes
itself out of the environment. So the parent tells the child: multiprocessing sends each new interpreter a dict with
what it needs ("preparation data") and unpickles that before anything of the application is imported. One more entry in
it activates the plugin there, whatever way in the parent had, and only in workers: no subprocess of theirs is touched.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from otel_backendai.component import component
from otel_backendai.guard import Guard
from otel_backendai.names import SPAWNED_COMPONENT

_HAND = Guard("spawned: hand down")
_LAUNCHER = "opentelemetry.instrumentation.auto_instrumentation"

# Unpickled in an interpreter that may find no such package: it must start all the same.
_BEGIN = "try:\n from otel_backendai.sdk.spawned import begin\nexcept ImportError:\n pass\nelse:\n begin({launched!r})"


class _Activation:
    """An entry of the preparation data: executes :func:`begin` where it is unpickled, and is ``None`` there."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return exec, (_BEGIN.format(launched=_LAUNCHER in sys.modules),)


@contextmanager
def handing_down() -> Iterator[None]:
    """While this is entered, new interpreters that multiprocessing starts here become workers of this component."""
    from multiprocessing import spawn

    original = spawn.get_preparation_data
    name, parent = component(), os.getpid()

    def get_preparation_data(*args: Any, **kwargs: Any) -> Any:
        data = original(*args, **kwargs)
        if os.getpid() == parent:  # not what a forked worker spawns in turn
            with _HAND:
                data[__name__] = _Activation()
        return data

    if name is not None:
        os.environ[SPAWNED_COMPONENT] = name
        spawn.get_preparation_data = get_preparation_data
    try:
        yield
    finally:
        if name is not None:
            forget()
            spawn.get_preparation_data = original


def forget() -> None:
    """Take out of the environment what only a worker is to see: its own subprocesses are no components."""
    component()
    os.environ.pop(SPAWNED_COMPONENT, None)


def begin(launched: bool) -> None:
    """Activate the plugin in a spawned worker, unless a ``.pth`` line or the launcher has.

    Args:
        launched: Whether the parent runs under ``opentelemetry-instrument``: then other instrumentors belong here too.
    """
    with _HAND:
        if launched and _LAUNCHER not in sys.modules:
            from opentelemetry.instrumentation.auto_instrumentation import initialize

            initialize()
    with _HAND:
        from otel_backendai.activation import activate

        activate()
