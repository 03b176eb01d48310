# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Which release a stack runs, and where it lives."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parents[1]
ROOT: Final = HERE.parents[1]
RELEASES: Final = HERE / "releases"

_PORT_BASE: Final = 28100
_OTLP_PORT: Final = 11  # from the base, lib.sh


class StackError(Exception):
    """What keeps a stack from running, as a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A release and the directory that holds everything of its stack."""

    release: str
    directory: Path
    port_base: int

    @property
    def family(self) -> str:
        """The first two numbers of the release, the name of its directory in ``releases/``."""
        return ".".join(self.release.split(".")[:2])

    @property
    def family_directory(self) -> Path:
        """What belongs to this family."""
        return RELEASES / self.family

    @property
    def desk_url(self) -> str:
        """Where the desk of this stack listens, for OTLP and for readers."""
        return f"http://127.0.0.1:{self.port_base + _OTLP_PORT}"

    @property
    def python(self) -> Path:
        """The interpreter of the release's virtual environment."""
        return self.directory / "venv" / "bin" / "python"


def stack_of(release: str, directory: str = "", environment: Mapping[str, str] = os.environ) -> Stack:
    """The stack of ``release``, a version or a family, in ``directory`` or in the default place for its family.

    Raises:
        StackError: Nothing is known of that family.
    """
    known = sorted((path.name for path in RELEASES.iterdir()), key=_version)
    stack = Stack(
        release,
        Path(directory).resolve() if directory else _cache(environment) / ".".join(release.split(".")[:2]),
        int(environment.get("REALSTACK_PORT_BASE", _PORT_BASE)),
    )
    if stack.family not in known:
        raise StackError(f"no release {release!r} here, only of {', '.join(known)}")
    return stack


def newest_releases() -> list[str]:
    """The newest known release of each family, the newest first."""
    found = []
    for path in sorted(RELEASES.iterdir(), key=lambda path: _version(path.name), reverse=True):
        found += re.findall(r"^RELEASE_NEWEST=(\S+)$", (path / "release.sh").read_text(), re.MULTILINE)
    return found


def _version(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def _cache(environment: Mapping[str, str]) -> Path:
    # As root, PostgreSQL runs as a user of its own, who cannot enter root's home.
    base = "/var/cache" if os.getuid() == 0 else environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "otel-backendai", "stacks")
