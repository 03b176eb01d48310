# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``python -m otel_backendai.cli.launch PARENT ENTRY COMMAND...``: what a process of the demo begins as.

It becomes ``COMMAND``: directly (``ENTRY`` is ``plain``), or through ``opentelemetry-instrument`` (``instrument``),
whose script may be on no PATH. On Linux the command gets SIGTERM when the process ``PARENT`` ends in a way that lets
it stop nothing (SIGKILL); elsewhere it outlives it then.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; kept through exec, not inherited by forked workers, which aiotools ends itself


def main() -> None:
    """Become the command. Ends at once when the parent is gone already."""
    parent, entry, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        return
    if entry == "plain":
        os.execvp(command[0], command)  # noqa: S606  # the command is the demo's own
    from opentelemetry.instrumentation.auto_instrumentation import run

    sys.argv = ["opentelemetry-instrument", *command]
    run()


if __name__ == "__main__":
    main()
