# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Secrets that Backend.AI puts into URLs, taken off spans: upload and session tokens stand in query strings."""

import re

# Attributes that hold a URL, a path or a query: current and former HTTP conventions.
URL_ATTRIBUTES = frozenset({"url.full", "url.path", "url.query", "http.url", "http.target"})

# Upload, download and app-proxy tokens of Backend.AI, the permit key of wsproxy, keys and signatures of its older
# clients, and what the HTTP conventions list (AWSAccessKeyId, Signature, sig, X-Goog-Signature).
_NAMES = (
    r"(?:[\w-]*(?:token|signature|secret|password|passwd|credential)"
    r"|[\w-]*(?:access|secret|api|permit)[_-]?key(?:[_-]?id)?|authorization|pwd|sig|jwt{more})(?:\[\w*\])?"
)
# `code`: what an OpenID provider sends the browser back with. In a text it is an exit code.
_SECRET = re.compile(rf"(?P<name>(?:^|[?&;]){_NAMES.format(more='|code')})=[^&;#]*", re.IGNORECASE)
_SECRET_IN_TEXT = re.compile(rf"(?P<name>[?&;]{_NAMES.format(more='')})=[^&;#\s\"']*", re.IGNORECASE)
# The app-proxy's tokens stand in paths, too: /v2/proxy/TOKEN/SESSION/add. Some are UUIDs, others are JSON web tokens.
_IN_PATH = re.compile(r"/v2/proxy/[^/?#\s\"']{1,4096}(?=/[^/?#\s\"']{1,100}/(?:add|delete)\b)")
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
# In paths of the manager's API (/v2/keypairs/ACCESS-KEY/ssh). The form of all releases, manager's `generate_keypair`.
_ACCESS_KEY = re.compile(r"\bAKIA[A-Z0-9]{16}\b")
# user:password@host
# A password may itself hold an @.
_USER = re.compile(r"://[^/?#\s]+@")
REDACTED = "REDACTED"


def redact_url(url: str) -> str:
    """Return a URL, path or query with what is secret replaced; ``url`` itself when nothing is."""
    return _redact_tokens(_SECRET.sub(rf"\g<name>={REDACTED}", url) if "=" in url else url)


def redact_text(text: str) -> str:
    """Return a text that may quote URLs (an exception's) with what is secret in them replaced, and the rest kept."""
    return _redact_tokens(_SECRET_IN_TEXT.sub(rf"\g<name>={REDACTED}", text) if "=" in text else text)


def _redact_tokens(text: str) -> str:
    if "/v2/proxy/" in text:
        text = _IN_PATH.sub(f"/v2/proxy/{REDACTED}", text)
    if "eyJ" in text:
        text = _JWT.sub(REDACTED, text)
    if "AKIA" in text:
        text = _ACCESS_KEY.sub(REDACTED, text)
    return _USER.sub(f"://{REDACTED}@", text) if "@" in text else text
