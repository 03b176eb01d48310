# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The way in through the ``backend.ai`` command, which has imported much of the release when it comes to us."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def loaded(port: int, command: str) -> dict[str, Any]:
    """What is there of the plugin in a server's process that ``backend.ai COMMAND start-server`` has loaded."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.releases.apps.command", str(port), command, "start-server"],
        cwd=ROOT,
        env={**clean, "PYTHONPATH": str(ROOT), "OTEL_BACKENDAI_ACTIVATE": "1", "OTEL_TRACES_EXPORTER": "none"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("command", ["mgr", "ag", "storage"])
def test_redis_is_learnt_and_nothing_goes_around_us(redis_port: int, command: str) -> None:
    """No module keeps a function as it was before us, and the release's own event queue tells where Redis is."""
    found = loaded(redis_port, command)
    assert found["active"]
    assert found["held"] == []
    assert not found["before"]
    assert found["after"]
