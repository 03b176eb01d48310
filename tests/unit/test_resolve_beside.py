# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What counts as a version that the plugin has moved (tools/resolve_beside.py)."""

from tools.resolve_beside import Outcome, compare, parse

_ALONE = {"aiohttp": "3.14.3", "protobuf": "6.33.6"}


def test_packages_that_the_plugin_adds_are_no_change() -> None:
    """Only what was there without the plugin has to stay."""
    assert compare(_ALONE, {**_ALONE, "wrapt": "1.17.3"}) == []


def test_another_version_is_named_with_both_numbers() -> None:
    """An operator reads what moved from where to where."""
    assert compare(_ALONE, {**_ALONE, "protobuf": "4.25.9"}) == ["protobuf 6.33.6 -> 4.25.9"]


def test_a_package_that_disappears_is_a_change() -> None:
    """A resolution without one of the release's packages is not the release any more."""
    assert compare(_ALONE, {"aiohttp": "3.14.3"}) == ["protobuf 6.33.6 -> absent"]


def test_markers_and_wheels_given_by_path_are_not_versions() -> None:
    """A line with an environment marker counts by its version, a path not at all."""
    compiled = "aiohttp==3.14.3\npyzmq==26.4.0 ; sys_platform == 'linux'\notel-backendai @ file:///x/y.whl\n"
    assert parse(compiled) == {"aiohttp": "3.14.3", "pyzmq": "26.4.0"}


def test_a_family_that_does_not_resolve_is_not_fine() -> None:
    """No answer is no proof."""
    assert not Outcome({}, [], "no solution").is_fine
    assert not Outcome(_ALONE, ["aiohttp 3.14.3 -> 3.13.0"]).is_fine
    assert Outcome(_ALONE, []).is_fine
