# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""An argument of a wrapped function, whatever the release calls it and however it is passed."""

from typing import Any

import pytest

from otel_backendai.releases.arguments import Argument


def create(target: Any, db_id: int, *, name: str = "") -> None:
    """A function of some release."""


def hidden(*args: Any, **kwargs: Any) -> None:
    """What a decorator that hides the names of parameters leaves."""


@pytest.mark.parametrize(
    ("args", "kwargs"), [(("t", 4), {}), (("t",), {"db_id": 4}), ((), {"target": "t", "db_id": 4})]
)
def test_it_is_found_by_position_and_by_name(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The value is the same however it is passed; another one takes its place, passed as that was."""
    database = Argument(create, 1)
    assert database.of(args, kwargs) == 4
    new_args, new_kwargs = database.replaced(args, kwargs, 5)
    assert database.of(new_args, new_kwargs) == 5
    assert (len(new_args), set(new_kwargs)) == (len(args), set(kwargs))
    assert Argument(create, 0).of(new_args, new_kwargs) == "t"
    assert database.of(args, kwargs) == 4


@pytest.mark.parametrize("argument", [Argument(create, 1), Argument(create, 5), Argument(hidden, 1)])
def test_what_is_not_passed_is_nothing(argument: Argument) -> None:
    """No error and no value, and a replacement changes nothing: the call is the application's."""
    args, kwargs = ("t",), {"other": 1}
    assert argument.of(args, kwargs) is None
    assert argument.replaced(args, kwargs, 5) == (args, kwargs)


def test_hidden_names_are_told_by_position() -> None:
    """Where a decorator takes anything, the place is known and the name is not."""
    assert Argument(hidden, 1).of(("self", "batch"), {}) == "batch"
    assert Argument(hidden, 1).of(("self",), {"kwargs": "batch"}) is None
