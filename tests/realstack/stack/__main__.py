# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``make stack`` and ``make stack-down``: one release with the plugin and a desk, for a person."""

import argparse
import shlex
import sys

from tests.realstack.stack.control import client_telemetry, resume, start, stop
from tests.realstack.stack.settings import HERE, Stack, StackError, stack_of


def main() -> None:
    """Read the command line, start or stop, say what to do next."""
    parser = argparse.ArgumentParser(prog="python -m tests.realstack.stack")
    parser.add_argument("action", choices=("up", "resume", "down"))
    parser.add_argument("release", help="a version, or a family: 26.9.6, 23.9")
    parser.add_argument("--dir", default="", help="where it lives; by default in the user's cache")
    arguments = parser.parse_args()
    try:
        stack = stack_of(arguments.release, arguments.dir)
        if arguments.action == "down":
            stop(stack)
            return
        if arguments.action == "resume":
            resume(stack)
            return
        start(stack)
    except StackError as error:
        sys.exit(str(error))
    sys.stdout.write(_next_steps(stack, arguments.dir))


def _next_steps(stack: Stack, directory: str) -> str:
    bin_directory = stack.python.parent
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in client_telemetry(stack).items())
    where = f" STACK_DIR={shlex.quote(directory)}" if directory else ""
    return f"""
The desk:   {stack.desk_url}
Requests:   . {stack.directory}/client.env
            {bin_directory}/python {HERE}/smoke.py --quiet
The client with the plugin too:
            {settings} \\
              {bin_directory}/opentelemetry-instrument {bin_directory}/python {HERE}/smoke.py --quiet
One request: otel-backendai trace REQUEST_ID --endpoint {stack.desk_url}
Log files:  {stack.directory}/log
Stop:       make stack-down RELEASE={stack.release}{where}
"""


main()
