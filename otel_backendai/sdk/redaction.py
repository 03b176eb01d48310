# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Secrets that Backend.AI puts into URLs, taken off spans: upload and session tokens stand in query strings."""

import re

# Attributes that hold a URL or a query: current and former HTTP conventions.
URL_ATTRIBUTES = frozenset({"url.full", "url.query", "http.url", "http.target"})

# Upload, download and app-proxy tokens of Backend.AI, keys and signatures of its older clients, and what the HTTP
# conventions list (AWSAccessKeyId, Signature, sig, X-Goog-Signature).
_SECRET = re.compile(
    r"(?P<name>(?:^|[?&;])(?:[\w-]*(?:token|signature|secret|password|passwd|credential)"
    r"|[\w-]*(?:access|secret|api)_?key(?:_?id)?|sig|jwt))=[^&;#]*",
    re.IGNORECASE,
)
REDACTED = "REDACTED"


def redact_url(url: str) -> str:
    """Return ``url`` with the values of secret query parameters replaced; ``url`` itself when it holds none."""
    return _SECRET.sub(rf"\g<name>={REDACTED}", url) if "=" in url else url
