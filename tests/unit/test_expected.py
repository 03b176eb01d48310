# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A release that came after the adapters: one warning that names what is not there."""

import importlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_backendai.releases import expected


@pytest.fixture
def future(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A tree of modules like a release's, of which one is imported and one is only there."""
    package = tmp_path / "fakeai" / "backend" / "common"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "events.py").write_text("class Dispatcher:\n def handle(self): ...\n")
    (package / "unused.py").write_text("raise RuntimeError('this must not be imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "fakeai"]:
        del sys.modules[name]


TARGETS = (
    ("fakeai.backend.common.events", "Dispatcher.handle"),
    ("fakeai.backend.common.events", "Dispatcher.gone"),
    ("fakeai.backend.common.events", "Gone.handle"),
    ("fakeai.backend.common.unused", "anything"),
    ("fakeai.backend.common.moved", "anything"),
    ("fakeai.backend.agent.agent", "Agent"),
)
MISSING = [
    "fakeai.backend.common.events:Dispatcher.gone",
    "fakeai.backend.common.events:Gone.handle",
    "fakeai.backend.common.moved:anything",
]


def test_what_is_missing(future: Path) -> None:
    """Attributes of imported modules, files of others; a component that is not installed lacks nothing."""
    importlib.import_module("fakeai.backend.common.events")
    assert expected.missing_targets(TARGETS) == MISSING


def test_nothing_is_imported_by_asking(future: Path) -> None:
    """No module of the tree, no package on the way to it."""
    assert expected.missing_targets(TARGETS) == [MISSING[-1]]
    assert not [name for name in sys.modules if name.startswith("fakeai")]


@pytest.mark.parametrize(
    ("installed", "warned"), [("26.9.6", False), ("26.10.0", True), ("27.1.0rc1", True), ("23.9.10", False)]
)
def test_one_warning_on_an_unknown_release(
    installed: str, warned: bool, future: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It names release and targets; a known release gets none."""
    monkeypatch.setattr(expected, "version", lambda name: installed)
    monkeypatch.setattr(expected, "TARGETS", TARGETS)
    with caplog.at_level(logging.WARNING):
        expected.warn_about_missing()
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warned
    if warned:
        assert MISSING[-1] in caplog.text
        assert installed in caplog.text


def test_no_release_at_all(caplog: pytest.LogCaptureFixture) -> None:
    """Without Backend.AI (an application of its own) there is nothing to say."""
    expected.warn_about_missing()
    assert caplog.text == ""


@pytest.mark.parametrize(("text", "family"), [("26.9.6", (26, 9)), ("26.10.0a1", (26, 10)), ("dev", (0, 0))])
def test_families(text: str, family: tuple[int, int]) -> None:
    """The first two numbers, as numbers."""
    assert expected.family_of(text) == family
