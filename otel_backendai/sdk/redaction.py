# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Secrets that Backend.AI puts into URLs, taken off spans: upload and session tokens stand in query strings."""

import re

# Attributes that hold a URL or a query: current and former HTTP conventions.
URL_ATTRIBUTES = ("url.full", "url.query", "http.url", "http.target")

# tus and download tokens (storage-proxy), app-proxy tokens, access keys and signatures of older clients.
_SECRET = re.compile(
    r"(?P<name>(?:^|[?&;])(?:[a-z0-9_-]*token|(?:access|secret|api)_?key|signature|sig|password|passwd|jwt))=[^&;#]*",
    re.IGNORECASE,
)
REDACTED = "REDACTED"


def redact_url(url: str) -> str:
    """Return ``url`` with the values of secret query parameters replaced; ``url`` itself when it holds none."""
    return _SECRET.sub(rf"\g<name>={REDACTED}", url) if "=" in url else url
