# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the newest adapters expect is in the newest release, and is all that they wrap there; one line tells of a later
one that lacks some of it."""

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from otel_backendai import instrumentors, releases
from otel_backendai.patching import Hop
from otel_backendai.releases import expected

ROOT = Path(__file__).parents[2]


@pytest.mark.releases(since="26.9")
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


@pytest.mark.releases(since="26.9")
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


RENAMED = (
    "ai.backend.common.leader.tasks.leader_cron:LeaderCron._run_task",
    "ai.backend.common.events.dispatcher:EventProducer.anycast_event",
    "ai.backend.logging.otel:instrument_aiohttp_client",
)


def warnings_of(tmp_path: Path, release: str, *renamed: str) -> list[str]:
    """What a component with two workers warns of, in this release under another number and with other names in it."""
    # What the release says of itself: the first that is found counts.
    about = tmp_path / f"backend_ai_common-{release}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: backend.ai-common\nVersion: {release}\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.releases.apps.newer", *renamed],
        cwd=ROOT,
        env={
            **clean,
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
            "OTEL_BACKENDAI_COMPONENT": "manager",
            "OTEL_TRACES_EXPORTER": "none",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("WARNING tests worker") == 2, done.stderr
    assert "Traceback" not in done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("WARNING otel_backendai")]


@pytest.mark.releases(since="26.9")
def test_one_line_names_what_a_future_release_lacks(tmp_path: Path) -> None:
    """The newest adapter is taken; one warning for all processes of the component names each target that is gone."""
    (line,) = warnings_of(tmp_path, "26.12.1", *RENAMED)
    assert "Backend.AI 26.12.1 is newer than this plugin knows (up to 26.9)" in line
    named = line.partition("not be followed there: ")[2].partition(". A newer")[0]
    assert sorted(named.split(", ")) == sorted(RENAMED)


@pytest.mark.releases(since="26.9")
@pytest.mark.parametrize(("release", "renamed"), [("26.12.1", ()), ("26.9.99", RENAMED)])
def test_no_line_where_nothing_is_to_be_said(release: str, renamed: tuple[str, ...], tmp_path: Path) -> None:
    """A newer release with all that is expected, and a known family, whatever it lacks: its adapters know it."""
    assert warnings_of(tmp_path, release, *renamed) == []
