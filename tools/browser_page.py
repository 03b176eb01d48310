# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A page in headless Chromium that is read and worked before its picture is taken, over the DevTools protocol.

For pages that keep drawing after they are loaded, for which ``tools.picture`` is too early.
"""

import asyncio
import base64
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tools.chromium import chromium_command

_START_TIMEOUT = 30.0
_ANSWER_TIMEOUT = 30.0
_DRAW_TIMEOUT = 30.0
_STOP_TIMEOUT = 10.0
_POLL_INTERVAL = 0.3
_QUOTED = 300

# What is written in an element itself, not in those inside it.
_OWN_TEXT = "[...one.childNodes].map(node => node.nodeType === Node.TEXT_NODE ? node.data.trim() : '')"
# What a reader sees: text, each piece on a line of its own, what fields hold, and where links go.
_TEXT = f"""[...document.querySelectorAll('body, body *')].filter(one => one.getClientRects().length).flatMap(one =>
            [...{_OWN_TEXT}, one.value, one.href]).filter(Boolean).join('\\n')"""
_MARKUP = "document.documentElement?.outerHTML ?? ''"
# Where the lowest text or field ends.
_BOTTOM = f"""Math.ceil(Math.max(0, ...[...document.querySelectorAll('body, body *')]
              .filter(one => one.matches('input') || {_OWN_TEXT}.some(Boolean))
              .map(one => one.getBoundingClientRect().bottom)))"""


class PageError(Exception):
    """The page cannot be had, or is not what was expected; the text is one sentence."""


class Page:
    """One tab; made by :func:`open_page`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, width: int, height: int) -> None:
        self._socket = socket
        self._width = width
        self._height = height
        self._calls = 0
        self._url = ""

    async def open(self, url: str) -> None:
        """Go to ``url``; does not wait until anything is drawn."""
        self._url = url
        size = {"width": self._width, "height": self._height, "deviceScaleFactor": 1}
        await self._call("Emulation.setDeviceMetricsOverride", mobile=False, **size)
        if reason := (await self._call("Page.navigate", url=url)).get("errorText"):
            raise PageError(f"{url} cannot be opened: {reason}")

    async def wait_for(self, expected: Iterable[str]) -> None:
        """Wait until the page shows every text, as whole words, and draws no more.

        Values of fields and addresses of links count as shown.

        Raises:
            PageError: It does not within thirty seconds; names what is missing.
        """
        deadline = time.monotonic() + _DRAW_TIMEOUT
        drawn = ""
        while True:
            before, drawn = drawn, await self.evaluate(_MARKUP)
            text = await self.evaluate(_TEXT)
            missing = sorted(one for one in set(expected) if not _shows(text, one))
            if not missing and drawn == before:
                return
            if time.monotonic() > deadline:
                problem = f"does not show {', '.join(missing)}" if missing else "does not come to rest"
                raise PageError(f"{self._url} {problem}; it says: {' '.join(text.split())[:_QUOTED]}")
            await asyncio.sleep(_POLL_INTERVAL)

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page. Raises :class:`PageError` when it fails there."""
        answer = await self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise PageError(f"{self._url}: {answer['result'].get('description', 'the script failed')}")
        return answer["result"].get("value")

    async def picture(self, margin: int) -> bytes:
        """A PNG of the page down to ``margin`` pixels below its last text.

        Raises:
            PageError: The page is higher than the window, so that its end is not in view.
        """
        bottom = await self.evaluate(_BOTTOM) + margin
        if bottom > self._height:
            raise PageError(f"{self._url} is {bottom} pixels high, the window only {self._height}.")
        clip = {"x": 0, "y": 0, "width": self._width, "height": bottom, "scale": 1}
        answer = await self._call("Page.captureScreenshot", format="png", clip=clip)
        return base64.b64decode(answer["data"])

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters})
        try:
            while (message := await self._socket.receive_json(timeout=_ANSWER_TIMEOUT)).get("id") != self._calls:
                pass
        except (TimeoutError, TypeError) as error:  # TypeError: the socket was closed
            raise PageError(f"Chromium does not answer {method}.") from error
        if "error" in message:
            raise PageError(f"Chromium refuses {method}: {message['error']['message']}")
        result: dict[str, Any] = message["result"]
        return result


def _shows(text: str, words: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(words)}(?![\w-])", text) is not None


@asynccontextmanager
async def open_page(width: int, height: int) -> AsyncIterator[Page]:
    """An empty tab of a Chromium that ends with the block.

    Args:
        width: Of what the page sees as its window, in pixels.
        height: The same.

    Raises:
        NoChromiumError: None is on PATH.
        PageError: It does not start.
    """
    with tempfile.TemporaryDirectory(prefix="picture-", ignore_cleanup_errors=True) as profile:
        command = [*chromium_command(profile, width, height), "--remote-debugging-port=0", "about:blank"]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            port = await _debugging_port(Path(profile), process)
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    tabs = [target for target in await answer.json() if target["type"] == "page"]
                async with session.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    yield Page(socket, width, height)
        finally:
            await _end(process)


async def _debugging_port(profile: Path, process: asyncio.subprocess.Process) -> str:
    deadline = time.monotonic() + _START_TIMEOUT
    while not (port := _written_port(profile)):
        if process.returncode is not None or time.monotonic() > deadline:
            raise PageError("Chromium does not start.")
        await asyncio.sleep(_POLL_INTERVAL)
    return port


def _written_port(profile: Path) -> str:
    """What Chromium writes into its profile once it listens; "" before."""
    file = profile / "DevToolsActivePort"
    return file.read_text().partition("\n")[0] if file.is_file() else ""


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_TIMEOUT)
    except TimeoutError:
        process.kill()
        await process.wait()
