# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Whether the plugin installs beside every release family of Backend.AI without moving a version of what is there.

Each family's components are resolved twice by `uv pip compile`: alone, and together with a wheel built from this tree.
Every package of the first answer has to have the same version in the second. Run by ``make resolve``.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

_SECONDS_PER_RESOLUTION = 300
_COMPONENTS = ("manager", "agent", "storage-proxy", "webserver", "client")
_APP_PROXY = ("appproxy-coordinator", "appproxy-worker")

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Family:
    """A release family on PyPI: its newest release, its Python, and what proxy it has."""

    release: str
    python: str
    proxy: tuple[str, ...] = ()

    @property
    def requirements(self) -> list[str]:
        """The components of one release, all of the same number."""
        return [f"backend.ai-{name}=={self.release}" for name in (*_COMPONENTS, *self.proxy)]


# Newest release of each family on PyPI. 24.12 is yanked; 26.5 and 26.6 do not exist. 26.4 changed its pins twice within
# the family, so three of its releases stand here.
FAMILIES = (
    Family("23.9.10", "3.11"),
    *(Family(release, "3.12", ("wsproxy",)) for release in ("24.3.11", "24.9.14", "25.1.1")),
    *(Family(release, "3.12", ("wsproxy",)) for release in ("25.2.0", "25.3.3", "25.4.0", "25.5.2")),
    *(Family(release, "3.13", ("wsproxy",)) for release in ("25.6.17", "25.7.0", "25.8.1", "25.9.1")),
    *(Family(release, "3.13", ("wsproxy",)) for release in ("25.10.1", "25.11.4", "25.12.1")),
    *(Family(release, "3.13", _APP_PROXY) for release in ("25.13.4", "25.14.5", "25.15.12", "25.16.0", "25.17.1")),
    *(Family(release, "3.13", _APP_PROXY) for release in ("25.18.1", "25.19.2", "26.1.0", "26.2.5", "26.3.3")),
    *(Family(release, "3.13", _APP_PROXY) for release in ("26.4.10", "26.4.15", "26.4.16")),
    *(Family(release, "3.13", _APP_PROXY) for release in ("26.7.0", "26.8.3", "26.9.6")),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one family: versions with the plugin, what moved, or why nothing was resolved."""

    versions: dict[str, str]
    moved: list[str]
    error: str | None = None

    @property
    def is_fine(self) -> bool:
        """Whether both resolutions succeeded and nothing moved."""
        return self.error is None and not self.moved


def compare(alone: dict[str, str], together: dict[str, str]) -> list[str]:
    """Return what differs for the packages of ``alone``, as ``name old -> new``; nothing when all stayed."""
    return [
        f"{name} {version} -> {together.get(name, 'absent')}"
        for name, version in alone.items()
        if together.get(name) != version
    ]


def parse(compiled: str) -> dict[str, str]:
    """Return name and version of each ``name==version`` line; other lines (a wheel given by path) are no answer."""
    pairs = (line.split(";")[0].split("==") for line in compiled.splitlines() if "==" in line)
    return {name.strip(): version.strip() for name, version in pairs}


def _resolve(family: Family, extra: list[str]) -> dict[str, str]:
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    command += ["--python-version", family.python, "--prerelease", "if-necessary-or-explicit", "-"]
    done = subprocess.run(
        command,
        input="\n".join([*family.requirements, *extra]),
        capture_output=True,
        text=True,
        timeout=_SECONDS_PER_RESOLUTION,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"uv ended with status {done.returncode}")
    return parse(done.stdout)


def examine(family: Family, wheel: Path) -> Outcome:
    """Resolve ``family`` alone and with ``wheel``."""
    try:
        alone = _resolve(family, [])
        together = _resolve(family, [f"otel-backendai @ {wheel.as_uri()}"])
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return Outcome({}, [], str(error))
    return Outcome(together, compare(alone, together))


def _build_wheel(directory: str) -> Path:
    command = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", directory, str(ROOT)]
    subprocess.run(command, check=True, timeout=_SECONDS_PER_RESOLUTION)
    return next(Path(directory).glob("*.whl"))


def main() -> int:
    """Print one row per family; return 1 if the plugin moved a version or did not resolve somewhere."""
    known = {family.release: family for family in FAMILIES}
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("releases", nargs="*", help="releases of the list (default: all)")
    releases = parser.parse_args().releases or list(known)
    unknown = [release for release in releases if release not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
    table = Table("Backend.AI", "Python", "OpenTelemetry SDK", "instrumentation", "packages", "beside the plugin")
    outcomes = []
    with tempfile.TemporaryDirectory() as directory:
        wheel = _build_wheel(directory)
        for release in releases:
            outcome = examine(known[release], wheel)
            outcomes.append(outcome)
            sdk, train = (outcome.versions.get(f"opentelemetry-{name}", "-") for name in ("sdk", "instrumentation"))
            said = outcome.error or ("; ".join(outcome.moved) if outcome.moved else "all versions stay")
            table.add_row(release, known[release].python, sdk, train, str(len(outcome.versions)), said)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return 0 if all(outcome.is_fine for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
