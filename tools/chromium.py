# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""How headless Chromium is started here."""

import shutil

_BINARIES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    # Containers lack the privileges that the sandbox needs; the pages are our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


class NoChromiumError(Exception):
    """There is none; the text says what to install."""


def chromium_command(profile: str, width: int, height: int) -> list[str]:
    """The command line up to what is to be done.

    Args:
        profile: The directory for this run alone.
        width: Of the window, in pixels.
        height: Of the window, in pixels.

    Raises:
        NoChromiumError: None is on PATH.
    """
    binary = next(filter(None, map(shutil.which, _BINARIES)), None)
    if binary is None:
        raise NoChromiumError("No Chromium on PATH; it is the Debian package `chromium`.")
    return [binary, *_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
