# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""An argument of a wrapped function that is passed by position or by name, whatever this release calls it.

Releases rename parameters of functions that they keep (``target``, then ``valkey_target``). A wrapper that names such a
parameter itself would raise a ``TypeError`` into the application which passes it by the release's own name.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

Call = tuple[tuple[Any, ...], dict[str, Any]]


class Argument:
    """One of the arguments of ``function``.

    Args:
        function: What is wrapped; the name of its parameter is read off it once.
        position: The place of the parameter, with ``self`` as 0 where there is one.
    """

    __slots__ = ("_name", "_position")

    def __init__(self, function: Callable[..., Any], position: int) -> None:
        parameters = list(inspect.signature(function).parameters.values())
        self._position = position
        # A decorator of the release may hide the names; then it is told by position only.
        named = position < len(parameters) and parameters[position].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        self._name = parameters[position].name if named else None

    def of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return its value in a call with these arguments; ``None`` when it is not among them."""
        if self._position < len(args):
            return args[self._position]
        return None if self._name is None else kwargs.get(self._name)

    def replaced(self, args: tuple[Any, ...], kwargs: dict[str, Any], value: object) -> Call:
        """Return the arguments of the same call with ``value`` instead, passed as it was; unchanged when it was not."""
        if self._position < len(args):
            return (*args[: self._position], value, *args[self._position + 1 :]), kwargs
        if self._name is not None and self._name in kwargs:
            return args, {**kwargs, self._name: value}
        return args, kwargs
