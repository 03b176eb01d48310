# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Pictures of the demo's session creation in the real Jaeger's own pages, as the README shows them.

python -m tools.jaeger_picture BINARIES JAEGER_UI docs

The demo sends through the Collector with ``collector-config.yaml`` to Jaeger; then ``jaeger-search.png`` is the search
by request ID and ``jaeger-trace.png`` the trace, with the tags of a late span. Exit status: 0 with both written, 1 when
a page does not show what it must or a process failed, 2 when something needed is missing.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from otel_backendai.names import ATTRIBUTE_REQUEST_ID
from tests.backends.demo_run import found_traces, run_demo, told_traces
from tests.backends.servers import JSON, run_collector, run_jaeger
from tools.browser_page import PageError, open_page
from tools.chromium import NoChromiumError

_REQUEST_ID = "req-2026-0001"
_WIDTH = 1400
# More than both pages need; a picture ends with its page.
_HEIGHT = 1400
_MARGIN = 16
_SEARCHED_SERVICE = "client"
# As a user drags the border, so that the names of the deepest spans are there in full.
_WIDEN_NAMES = "localStorage.setItem('spanNameColumnWidth', '0.36')"
# The call to the wsproxy. Not the wsproxy's own span: a WebSocket's SERVER span outlasts the CLIENT span, which ends
# with the upgrade, and Jaeger warns of clock skew then.
_OPEN_DETAILS = """[...document.querySelectorAll('a.span-name')]
                   .findLast(row => row.innerText.startsWith('app-proxy')).click()"""


def main() -> int:
    """Run everything and take the pictures; returns the exit status."""
    parser = argparse.ArgumentParser(description="Take pictures of a session creation in Jaeger's own pages.")
    parser.add_argument("binaries", metavar="BINARIES", type=Path, help="directory of jaeger and otelcol")
    parser.add_argument("assets", metavar="JAEGER_UI", type=Path, help="directory of the built files of jaeger-ui")
    parser.add_argument("output", metavar="OUTPUT", type=Path, help="directory of the pictures")
    arguments = parser.parse_args()
    assets: Path = arguments.assets.resolve()
    if not (assets / "index.html").is_file():
        return _say(f"{assets} has no index.html: it must be what a build of jaegertracing/jaeger-ui made.", 2)
    if not arguments.output.is_dir():
        return _say(f"{arguments.output} is no directory.", 2)
    try:
        with tempfile.TemporaryDirectory(prefix="jaeger-picture-") as directory:
            _run(arguments.binaries, assets, arguments.output, Path(directory))
    except NoChromiumError as error:
        return _say(str(error), 2)
    # The servers and the demo are those of the tests, which assert.
    except (PageError, AssertionError) as error:
        return _say(str(error), 1)
    return 0


def _run(binaries: Path, assets: Path, output: Path, directory: Path) -> None:
    logs = directory / "jaeger", directory / "collector"
    for log in logs:
        log.mkdir()
    with (
        run_jaeger(binaries, logs[0], JAEGER_UI=str(assets)) as jaeger,
        run_collector(binaries, logs[1], jaeger.otlp_grpc) as collector,
    ):
        document = run_demo(directory, _REQUEST_ID, collector.otlp_http)
        told = told_traces(document, _REQUEST_ID)
        found_traces(jaeger, _REQUEST_ID, told)
        session = next(flow["traces"][0]["trace_id"] for flow in document["flows"] if flow["name"] == "session")
        search_page, trace_page = asyncio.run(_pictures(jaeger.query_url, told, session))
    (output / "jaeger-search.png").write_bytes(search_page)
    (output / "jaeger-trace.png").write_bytes(trace_page)


async def _pictures(url: str, told: Mapping[str, JSON], session: str) -> tuple[bytes, bytes]:
    tags = json.dumps({ATTRIBUTE_REQUEST_ID: _REQUEST_ID}, separators=(",", ":"))
    search = urlencode({"service": _SEARCHED_SERVICE, "lookback": "1h", "limit": 20, "tags": tags})
    spans = told[session]["spans"]
    services = {span["service"] for span in spans}
    async with open_page(_WIDTH, _HEIGHT) as page:
        await page.open(f"{url}/search?{search}")
        await page.wait_for({_REQUEST_ID, *services, *(f"{url}/trace/{trace_id}" for trace_id in told)})
        search_page = await page.picture(_MARGIN)
        await page.evaluate(_WIDEN_NAMES)
        await page.open(f"{url}/trace/{session}")
        await page.wait_for(services | {span["name"] for span in spans})
        await page.evaluate(_OPEN_DETAILS)
        await page.wait_for({ATTRIBUTE_REQUEST_ID, _REQUEST_ID})
        return search_page, await page.picture(_MARGIN)


def _say(sentence: str, status: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
