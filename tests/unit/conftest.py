# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the unit tests share: a guard as in production, and fresh interpreters."""

import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

from otel_backendai import guard, instrumentors

LAUNCHER = Path(sys.executable).parent / "opentelemetry-instrument"

# By name, because the launcher of the oldest train does not know "*".
NO_HOPS = ",".join(instrumentors.BY_NAME)

# No deadline: the machine is shared. No database: a run leaves no files behind.
hypothesis.settings.register_profile("unit", deadline=None, database=None, max_examples=60, derandomize=True)
hypothesis.settings.load_profile("unit")


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard as in production: it swallows instead of failing the test."""
    monkeypatch.setattr(guard, "strict", False)


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without any setting of OpenTelemetry, plus ``more``."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}, **more}


def run_python(
    code: str, launcher: bool = False, /, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a fresh interpreter, under ``opentelemetry-instrument`` if asked; bounded at 60 s."""
    command = [*([str(LAUNCHER)] if launcher else []), sys.executable, *options, "-c", code]
    return subprocess.run(
        command, env=clean_environment(**environment), capture_output=True, text=True, timeout=60, check=False
    )


def output_of(code: str, launcher: bool = False, /, *options: str, **environment: str) -> str:
    """What ``code`` prints in a fresh interpreter; the test fails when it does not end with 0."""
    done = run_python(code, launcher, *options, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
