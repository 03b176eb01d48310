# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What a stack's environment holds: the versions that a reader of the matrix wants to know."""

import json
import subprocess
from dataclasses import dataclass

from tests.realstack.stack.settings import Stack

_TIMEOUT = 60
_ASK = """
import json, platform
from importlib.metadata import version
print(json.dumps({
    "release": version("backend.ai-manager"),
    "python": platform.python_version(),
    "opentelemetry": version("opentelemetry-sdk") + " / " + version("opentelemetry-instrumentation"),
}))
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """Versions: of Backend.AI, of Python, of OpenTelemetry's SDK and instrumentations."""

    release: str
    python: str
    opentelemetry: str


def facts_of(stack: Stack) -> Facts:
    """Ask the stack's interpreter."""
    done = subprocess.run([stack.python, "-c", _ASK], capture_output=True, text=True, timeout=_TIMEOUT, check=True)
    return Facts(**json.loads(done.stdout))
