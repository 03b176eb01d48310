# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``otel-backendai enable`` and ``disable``: a line that every interpreter of this environment runs at its start.

For processes that no wrapper and no command of ours starts: workers that are spawned, ``python -m
ai.backend.manager.server``. The line does nothing unless the environment variable ``OTEL_BACKENDAI_ACTIVATE`` says so,
and nothing when the package has been removed since.
"""

import sysconfig
from pathlib import Path

import click

from otel_backendai.cli.arguments import UsageError
from otel_backendai.names import SETTING_ACTIVATE

FILE_NAME = "otel_backendai.pth"
# `site` runs lines that begin with "import", each by itself; an error would be printed at every start.
_LINE = (
    f"import os; os.environ.get({SETTING_ACTIVATE!r}) in ('1', 'true') and exec("
    r"'try:\n from otel_backendai.activation import activate\nexcept ImportError:\n pass\nelse:\n activate()')"
    "\n"
)


@click.command("enable")
def enable() -> None:
    """Let every interpreter of this environment activate the plugin when OTEL_BACKENDAI_ACTIVATE is 1 or true.

    Writes one .pth file into the site-packages directory. `otel-backendai disable` removes it; do that before you
    uninstall the package.
    """
    hook = _hook()
    # Complete or not there: `site` reads whatever is in a file of this name.
    unfinished = hook.with_suffix(".unfinished")
    try:
        unfinished.write_text(_LINE, encoding="ascii")
        unfinished.replace(hook)
    except OSError as error:
        raise UsageError(f"cannot write {hook}: {error.strerror}") from error
    click.echo(f"Written: {hook}. It acts where {SETTING_ACTIVATE} is 1 or true.")


@click.command("disable")
def disable() -> None:
    """Remove what `otel-backendai enable` has written."""
    hook = _hook()
    try:
        hook.unlink()
    except FileNotFoundError:
        click.echo(f"Nothing to remove: there is no {hook}.")
    except OSError as error:
        raise UsageError(f"cannot remove {hook}: {error.strerror}") from error
    else:
        click.echo(f"Removed: {hook}.")


def _hook() -> Path:
    return Path(sysconfig.get_path("purelib")) / FILE_NAME
