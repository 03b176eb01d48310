# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The command line around the demo: fast, harmless in ``backend.ai``, and a start-up hook that can be undone."""

import subprocess
import sys
import sysconfig
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from otel_backendai import __version__
from otel_backendai.cli.root import otel_backendai
from otel_backendai.cli.startup_hook import FILE_NAME

# Of these none may be imported for a help text, or by `backend.ai` at each of its starts.
HEAVY = ("aiohttp", "redis", "rich", "callosum", "google.protobuf", "opentelemetry", "asyncio")


def _python(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def _imported_by(program: str, **environment: str) -> set[str]:
    result = _python("-c", f"import sys\n{program}\nsys.stderr.write(' '.join(sys.modules))", **environment)
    assert result.returncode == 0, result.stderr
    return set(result.stderr.split())


def test_help_imports_no_command() -> None:
    """The help lists every command and imports none of them."""
    program = (
        "sys.argv = ['otel-backendai', '--help']\n"
        "from otel_backendai.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass"
    )
    imported = _imported_by(program)
    assert not imported.intersection(
        {*HEAVY, "otel_backendai.cli.demo", "otel_backendai.cli.desk", "otel_backendai.cli.trace"}
    )
    help_text = CliRunner().invoke(otel_backendai, ["--help"]).output
    for command in ("demo", "desk", "enable", "disable", "trace"):
        assert f"  {command} " in help_text


@pytest.mark.parametrize("command", ["demo", "desk", "enable", "disable", "trace"])
def test_every_command_is_there(command: str) -> None:
    """What the help lists can be run."""
    result = CliRunner().invoke(otel_backendai, [command, "--help"])
    assert result.exit_code == 0, result.output


def test_version_and_unknown_command() -> None:
    """The version is the package's, and an unknown command is an error of usage."""
    assert CliRunner().invoke(otel_backendai, ["--version"]).output == f"otel-backendai, version {__version__}\n"
    assert CliRunner().invoke(otel_backendai, ["nonsense"]).exit_code == 2


def test_trace_needs_no_extra() -> None:
    """An operator's machine has the package alone: no package of an extra is imported."""
    imported = _imported_by("import otel_backendai.cli.trace")
    assert not imported.intersection({"rich", "callosum", "aiotools", "msgpack", "google.protobuf", "redis"})


def test_group_of_backend_ai() -> None:
    """``backend.ai`` finds a click group with our commands, and importing it imports nothing heavy."""
    (entry_point,) = entry_points(group="backendai_cli_v10", name="otel")
    group = entry_point.load()
    assert isinstance(group, click.Group)
    assert CliRunner().invoke(group, ["version"]).output == f"{__version__}\n"
    for command in ("desk", "trace"):
        assert CliRunner().invoke(group, [command, "--help"]).exit_code == 0
    imported = _imported_by("import otel_backendai.cli.backendai")
    assert not imported.intersection(HEAVY)


@pytest.mark.parametrize(
    ("environment", "arguments", "activated"),
    [
        ({"OTEL_BACKENDAI_ACTIVATE": "1"}, ["mgr", "start-server"], True),
        ({"OTEL_BACKENDAI_ACTIVATE": "true"}, ["ag", "start-server"], True),
        ({"OTEL_BACKENDAI_ACTIVATE": "0"}, ["mgr", "start-server"], False),
        ({}, ["mgr", "start-server"], False),
        ({"OTEL_BACKENDAI_ACTIVATE": "1"}, ["ps"], False),
        ({"OTEL_BACKENDAI_ACTIVATE": "1"}, [], False),
    ],
)
def test_servers_are_activated_on_request(environment: dict[str, str], arguments: list[str], activated: bool) -> None:
    """``backend.ai`` activates us only for a server, and only when the environment says so."""
    program = f"sys.argv[1:] = {arguments!r}\nimport otel_backendai.cli.backendai"
    imported = _imported_by(program, **environment, OTEL_SDK_DISABLED="true")
    assert ("otel_backendai.activation" in imported) is activated


def test_import_never_raises() -> None:
    """An installation of OpenTelemetry that is broken must not stop ``backend.ai``."""
    program = (
        "sys.argv[1:] = ['mgr', 'start-server']; sys.modules['otel_backendai.activation'] = None\n"
        "import otel_backendai.cli.backendai"
    )
    _imported_by(program, OTEL_BACKENDAI_ACTIVATE="1")


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in the place of site-packages."""
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path) if name == "purelib" else None)
    return tmp_path


def test_enable_and_disable(site_packages: Path) -> None:
    """One file is written and taken away again; both commands may be repeated."""
    for _ in range(2):
        assert CliRunner().invoke(otel_backendai, ["enable"]).exit_code == 0
        assert [path.name for path in site_packages.iterdir()] == [FILE_NAME]
    for said in ("Removed: ", "Nothing to remove: "):
        result = CliRunner().invoke(otel_backendai, ["disable"])
        assert (result.exit_code, result.output[: len(said)]) == (0, said)
        assert list(site_packages.iterdir()) == []


@pytest.mark.parametrize(("value", "activated"), [("1", True), ("true", True), ("0", False), (None, False)])
def test_hook_acts_on_request_only(site_packages: Path, value: str | None, activated: bool) -> None:
    """The line that ``site`` runs activates when the environment says so, and else costs no import."""
    CliRunner().invoke(otel_backendai, ["enable"])
    environment = {"OTEL_BACKENDAI_ACTIVATE": value} if value else {}
    imported = _imported_by(f"import site; site.addsitedir({str(site_packages)!r})", **environment)
    assert ("otel_backendai.activation" in imported) is activated
    assert activated or "opentelemetry" not in imported


def test_hook_outlives_the_package(site_packages: Path) -> None:
    """A hook that is left behind when the package is removed breaks no interpreter and prints nothing."""
    CliRunner().invoke(otel_backendai, ["enable"])
    program = f"import site, sys; sys.modules['otel_backendai'] = None; site.addsitedir({str(site_packages)!r})"
    result = _python("-c", program, OTEL_BACKENDAI_ACTIVATE="1")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("command", ["enable", "disable"])
def test_site_packages_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Where nothing can be written, one sentence says so with status 2."""
    # A file in the place of the directory: permissions do not stop root.
    blocked = tmp_path / "blocked"
    blocked.touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(blocked))
    result = CliRunner().invoke(otel_backendai, [command])
    assert result.exit_code == 2
    assert result.output.startswith(f"Error: cannot {'write' if command == 'enable' else 'remove'} {blocked}")
    assert result.output.count("\n") == 1
