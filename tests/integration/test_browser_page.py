# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The browser behind the README's pictures: none is taken of a page that is not what it should be."""

import shutil
import struct

import pytest
from aiohttp import web

from tests.integration.conftest import ServeApp
from tools import browser_page
from tools.browser_page import PageError, open_page

# A field at once, two lines of forty pixels later, one after the other.
LATE = """<!doctype html><body style="margin:0">
<input value="req-1" style="display:block;height:20px;margin:0;box-sizing:border-box">
<script>
for (const [after, text] of [[300, "legacy-agent"], [600, "manager"]])
    setTimeout(() => {
        const line = document.createElement("div")
        line.style.height = "40px"
        line.textContent = text
        document.body.append(line)
    }, after)
</script></body>"""

pytestmark = pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium (Debian package chromium)")


@pytest.fixture
async def late_page(serve: ServeApp) -> str:
    """The address of a page that draws more after it is loaded."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=LATE, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", answer)
    return await serve(app)


async def test_picture_shows_the_page_as_it_is_in_the_end(late_page: str) -> None:
    """A picture waits for what a script draws late, and is as high as the page."""
    async with open_page(300, 400) as page:
        await page.open(late_page)
        await page.wait_for(["req-1", "legacy-agent", "manager"])
        picture = await page.picture(margin=10)
    assert struct.unpack(">II", picture[16:24]) == (300, 20 + 2 * 40 + 10)


async def test_no_picture_of_another_page(late_page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that never comes ends the wait with a sentence that names it; part of a word does not count."""
    monkeypatch.setattr(browser_page, "_DRAW_TIMEOUT", 2.0)
    async with open_page(300, 400) as page:
        await page.open(late_page)
        with pytest.raises(
            PageError, match=rf"{late_page}/? does not show agent, req-2; it says: req-1 legacy-agent manager"
        ):
            await page.wait_for(["agent", "manager", "req-2"])


async def test_no_picture_of_a_part(late_page: str) -> None:
    """A page that is higher than the window is refused."""
    async with open_page(300, 60) as page:
        await page.open(late_page)
        await page.wait_for(["manager"])
        with pytest.raises(PageError, match="pixels high, the window only 60"):
            await page.picture(margin=0)
