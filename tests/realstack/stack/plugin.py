# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The plugin as an operator gets it: a wheel, beside what a release pins."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.realstack.stack.settings import ROOT, Stack, StackError
from tools.resolve_beside import compare, parse

_BUILD_TIMEOUT: Final = 300
_RESOLVE_TIMEOUT: Final = 300


def write_requirements(stack: Stack) -> Path:
    """Build the wheel from the tree and write the requirement file that brings it into the stack's environment.

    The wheel lies in a directory named by its content, so that a changed one is installed although its version is not.
    """
    wheels = stack.directory / "wheels"
    with tempfile.TemporaryDirectory() as built:
        _uv("build", "--quiet", "--wheel", "--out-dir", built, str(ROOT), timeout=_BUILD_TIMEOUT)
        (wheel,) = Path(built).glob("*.whl")
        kept = wheels / hashlib.sha256(wheel.read_bytes()).hexdigest()[:16] / wheel.name
        if not kept.exists():
            shutil.rmtree(wheels, ignore_errors=True)
            kept.parent.mkdir(parents=True)
            shutil.copyfile(wheel, kept)
    requirements = plugin_requirements(stack)
    requirements.write_text(f"otel-backendai @ {kept.as_uri()}\n")
    return requirements


def plugin_requirements(stack: Stack) -> Path:
    """Where that requirement file is."""
    return stack.directory / "plugin.txt"


def changed_versions(stack: Stack, plugin: Path) -> list[str]:
    """Resolve the release alone and with ``plugin``: what the plugin changes of the release's packages.

    An empty list is the proof that the plugin moves nothing of what an operator has. Transitive packages count too.
    """
    alone = _resolve(stack)
    if not alone:
        raise StackError(f"{stack.release} resolves to nothing")
    return compare(alone, _resolve(stack, plugin))


def _resolve(stack: Stack, *more: Path) -> dict[str, str]:
    constraints = stack.family_directory / "constraints.txt"
    arguments = ["--python", str(stack.python), *(["-c", str(constraints)] if constraints.exists() else [])]
    base = stack.directory / "conf" / "requirements.txt"
    options = ("--quiet", "--no-header", "--no-annotate", *arguments)
    return parse(_uv("pip", "compile", *options, str(base), *map(str, more), timeout=_RESOLVE_TIMEOUT))


def _uv(*arguments: str, timeout: int) -> str:
    command = [sys.executable, "-m", "uv", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise StackError(f"uv {' '.join(arguments[:2])} fails:\n{done.stderr.strip()}")
    return done.stdout
