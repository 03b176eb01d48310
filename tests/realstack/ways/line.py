# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``otel-backendai enable`` and ``disable`` in the environment of a stack, and whether it reaches interpreters."""

import os
import subprocess
from typing import Final

from otel_backendai.names import SETTING_ACTIVATE
from tests.realstack.stack.settings import Stack, StackError

_TIMEOUT: Final = 60
_ASK: Final = "import sys; print('otel_backendai.activation' in sys.modules)"


def enable(stack: Stack) -> None:
    """Write the line into the site-packages of the stack.

    Raises:
        StackError: The command fails.
    """
    _run(stack, "enable")


def disable(stack: Stack) -> None:
    """Take it out again, if it is there.

    Raises:
        StackError: The command fails.
    """
    _run(stack, "disable")


def is_activated(stack: Stack, setting: str) -> bool:
    """Whether a new interpreter of the stack is activated, with that value of ``OTEL_BACKENDAI_ACTIVATE``."""
    environment = os.environ | {SETTING_ACTIVATE: setting}
    command = [str(stack.python), "-c", _ASK]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=True)
    return bool(done.stdout.strip() == "True")


def _run(stack: Stack, action: str) -> None:
    command = [str(stack.python.parent / "otel-backendai"), action]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    if done.returncode:
        raise StackError(f"otel-backendai {action} fails: {done.stderr.strip()}")
