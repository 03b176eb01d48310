# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Take a picture of a page in headless Chromium: ``python -m tools.picture URL OUTPUT.png``.

Exit status: 0 with the picture written, 1 when Chromium made none, 2 when it cannot be started as asked.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.chromium import NoChromiumError, chromium_command

_TIMEOUT = 90.0


def main() -> int:
    """Parse the command line and take the picture; the exit status."""
    parser = argparse.ArgumentParser(description="Take a picture of a page in headless Chromium.")
    parser.add_argument("url", metavar="URL")
    parser.add_argument("output", metavar="OUTPUT.png", type=Path)
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--dark", action="store_true", help="as a user who prefers dark colours")
    parser.add_argument("--budget", type=int, default=4000, metavar="MS", help="time that the page gets to draw")
    arguments = parser.parse_args()
    try:
        return take_picture(arguments)
    except NoChromiumError as error:
        _say(str(error))
        return 2


def take_picture(arguments: argparse.Namespace) -> int:
    """Run Chromium once in a profile of its own; 0 when the picture is there, else 1. Raises NoChromiumError."""
    output: Path = arguments.output.resolve()
    output.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="picture-", ignore_cleanup_errors=True) as profile:
        command = [
            *chromium_command(profile, arguments.width, arguments.height),
            *(["--blink-settings=preferredColorScheme=0"] if arguments.dark else []),
            f"--virtual-time-budget={arguments.budget}",
            f"--screenshot={output}",
            arguments.url,
        ]
        try:
            run = subprocess.run(  # our own command line, without a shell
                command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            _say(f"Chromium made no picture within {_TIMEOUT:.0f} seconds.")
            return 1
    if not output.is_file():
        _say(f"Chromium made no picture (exit status {run.returncode}): {run.stderr.strip()[-400:]}")
        return 1
    return 0


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


if __name__ == "__main__":
    sys.exit(main())
