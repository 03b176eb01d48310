# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Reversible patches that wait for their target: a hop declares what it wraps, and is switched on and off as one."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import wrapt
from opentelemetry.trace import ProxyTracerProvider, Tracer, TracerProvider, get_tracer

from otel_backendai import __version__
from otel_backendai.guard import Guard
from otel_backendai.names import INSTRUMENTATION_NAME

# A wrapper takes the original function and returns what stands in its place. `Any`: signatures are the target's.
Wrapper = Callable[[Any], Any]

_ABSENT = object()
_PATCH = Guard("patching")


@dataclass(frozen=True, slots=True)
class _Target:
    module: str
    path: str
    wrapper: Wrapper


@dataclass(frozen=True, slots=True)
class _Applied:
    owner: object
    name: str
    original: object
    replacement: object


class Hop:
    """A set of patches that are switched on and off together, in whatever order modules get imported.

    Every wrapper asks :attr:`active` first: a replacement that another library wrapped in turn cannot be taken out
    of that chain again, so after :meth:`uninstall` it only passes on.

    Args:
        name: The hop's name, the last part of the instrumentation scope: ``otel_backendai.NAME``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.active = False
        # Follows the global provider, and makes none: a module is imported before anybody has chosen one.
        self.tracer: Tracer = ProxyTracerProvider().get_tracer(f"{INSTRUMENTATION_NAME}.{name}", __version__)
        self._targets: list[_Target] = []
        self._applied: list[_Applied] = []
        self._hooked: set[str] = set()

    def wraps(self, module: str, path: str) -> Callable[[Wrapper], Wrapper]:
        """Declare that the decorated factory wraps ``path`` (dotted, in ``module``) while this hop is active.

        A class method's factory gets the plain function, whose first argument is ``cls``, and returns one.
        """

        def declare(wrapper: Wrapper) -> Wrapper:
            self._targets.append(_Target(module, path, wrapper))
            return wrapper

        return declare

    def install(self, tracer_provider: TracerProvider | None = None) -> None:
        """Patch what is imported, and the rest when it is. A second call, by whatever loader, changes nothing."""
        if self.active:
            return
        self.active = True
        self.tracer = get_tracer(f"{INSTRUMENTATION_NAME}.{self.name}", __version__, tracer_provider)
        for module in dict.fromkeys(target.module for target in self._targets):
            if module in sys.modules:
                self._patch(module)
            elif module not in self._hooked:
                self._hooked.add(module)
                wrapt.register_post_import_hook(lambda imported: self._patch(imported.__name__), module)

    def uninstall(self) -> None:
        """Put every original object back where our replacement still stands."""
        self.active = False
        chained = []
        while self._applied:
            applied = self._applied.pop()
            if vars(applied.owner).get(applied.name) is not applied.replacement:
                chained.append(applied)
            elif applied.original is _ABSENT:
                delattr(applied.owner, applied.name)
            else:
                setattr(applied.owner, applied.name, applied.original)
        # Below somebody else's wrapper: still called, only passing on, and not to be put in a second time.
        self._applied = chained[::-1]

    def _patch(self, module: str) -> None:
        if not self.active:
            return
        for target in self._targets:
            if target.module == module:
                with _PATCH:
                    self._apply(target)

    def _apply(self, target: _Target) -> None:
        *owners, name = target.path.split(".")
        owner: Any = sys.modules[target.module]
        for part in owners:
            owner = getattr(owner, part, None)
        bound = _ABSENT if owner is None else getattr(owner, name, _ABSENT)
        if bound is _ABSENT:
            return  # a release or version without it: this hop carries what it can
        for done in [done for done in self._applied if done.owner is owner and done.name == name]:
            if vars(owner).get(name, _ABSENT) is not done.original:
                return
            self._applied.remove(done)
        for done in self._applied:
            if done.replacement is bound:
                # A second name of what is wrapped already: `from .timer import *` ran after `timer` was patched.
                self._applied.append(_Applied(owner, name, done.original, bound))
                return
        replacement = _replacement(owner, name, bound, target.wrapper)
        self._applied.append(_Applied(owner, name, vars(owner).get(name, _ABSENT), replacement))
        setattr(owner, name, replacement)


def _replacement(owner: Any, name: str, bound: Any, wrapper: Wrapper) -> Any:
    """What stands in the place of ``owner.name``: a class method or static method stays one, its wrapper sees the
    plain function (with ``cls``)."""
    defined = next((vars(base)[name] for base in getattr(owner, "__mro__", ()) if name in vars(base)), bound)
    if isinstance(defined, classmethod | staticmethod):
        return type(defined)(wrapper(defined.__func__))
    return wrapper(bound)
