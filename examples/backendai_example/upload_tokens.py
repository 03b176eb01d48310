# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Tokens that allow one upload: signed, so that the storage-proxy keeps no state between the two requests."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from dataclasses import dataclass

LIFETIME = 300


@dataclass(frozen=True, slots=True)
class Upload:
    """What a token allows: writing one file of a folder, of at most `size` bytes."""

    folder: str
    path: str
    size: int


def issue_token(upload: Upload, secret: bytes) -> str:
    """A token for `upload`, valid for five minutes."""
    claims = {"folder": upload.folder, "path": upload.path, "size": upload.size, "exp": int(time.time()) + LIFETIME}
    body = base64.urlsafe_b64encode(json.dumps(claims).encode())
    return f"{body.decode()}.{_sign(body, secret)}"


def verify_token(token: str, secret: bytes) -> Upload:
    """The upload that `token` allows. Raises `ValueError` for a forged, malformed or expired token."""
    body, _, signature = token.partition(".")
    if not hmac.compare_digest(_sign(body.encode(), secret).encode(), signature.encode()):
        raise ValueError("bad signature")
    try:
        claims = json.loads(base64.urlsafe_b64decode(body))
        upload = Upload(str(claims["folder"]), str(claims["path"]), int(claims["size"]))
        expires = float(claims["exp"])
    except (binascii.Error, KeyError, TypeError) as error:
        raise ValueError("malformed token") from error
    if expires < time.time():
        raise ValueError("expired token")
    return upload


def _sign(body: bytes, secret: bytes) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()
