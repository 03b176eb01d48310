# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""How a message names an endpoint, and why it could not be reached."""

import os
import ssl

from yarl import URL


def shown_endpoint(endpoint: str) -> str:
    """An endpoint without the password that it may hold."""
    return str(URL(endpoint).with_user(None))


def reason_of(error: OSError) -> str:
    """The system's own words for ``error``."""
    if isinstance(error, ssl.SSLError):
        # Its number is OpenSSL's, not the system's.
        return f"it does not speak TLS as it should ({error.reason or 'no reason given'})"
    # asyncio and aiohttp put whole sentences into strerror; a failed name look-up has a negative errno.
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
