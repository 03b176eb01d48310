# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A picture of one request, as the README shows it: runs the demo and takes the page of its session creation.

python -m tools.demo_picture docs/request.png
"""

import json
import signal
import subprocess
import sys
import time
import urllib.request

REQUEST_ID = "req-2026-0001"
START_TIMEOUT = 60.0


def wait_for_page(process: subprocess.Popen[str], port: int) -> str:
    """Return the page's address once the session's last hop is there; fails when the demo ends before."""
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/api/requests/{REQUEST_ID}", timeout=2) as answer:
                traces = json.load(answer)["traces"]
            if len(traces) >= 3:  # the session's one, and the two of the upload that comes after it
                return f"{url}/request/{REQUEST_ID}"
        except OSError:
            pass
        time.sleep(0.3)
    raise SystemExit("the demo did not get as far as its second flow")


def main() -> int:
    """Take the picture; the exit status is that of ``tools.picture``."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m tools.demo_picture OUTPUT.png\n")
        return 2
    port = 43180
    demo = [sys.executable, "-m", "otel_backendai", "demo", "--request-id", REQUEST_ID, "--port", str(port)]
    picture = [sys.executable, "-m", "tools.picture"]
    with subprocess.Popen(demo, text=True, stdout=subprocess.DEVNULL) as process:
        try:
            page = wait_for_page(process, port)
            time.sleep(1)
            return subprocess.run([*picture, page, sys.argv[1]], check=False).returncode
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


if __name__ == "__main__":
    sys.exit(main())
