# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Mint, accept, read and bind a request ID. Baggage is the truth: it is read from there and nowhere else.

Rules (docs/architecture.md, section 2): 1 to 128 characters of ``A-Z a-z 0-9 . _ : / + = @ -``; anything else is
treated as absent, and hostile text is neither logged nor stored.
"""

import os
import re
from typing import TypeGuard

from opentelemetry import baggage
from opentelemetry.context import Context

from otel_backendai.names import ATTRIBUTE_REQUEST_ID

MAX_REQUEST_ID_LENGTH = 128

_is_well_formed = re.compile(rf"[A-Za-z0-9._:/+=@-]{{1,{MAX_REQUEST_ID_LENGTH}}}").fullmatch


def is_acceptable(value: object) -> TypeGuard[str]:
    """Whether ``value`` may be used as a request ID. Exact ``str`` only: msgpack drops messages with subclasses."""
    return type(value) is str and _is_well_formed(value) is not None


def mint() -> str:
    """Return a new UUID4 as lower-case text, the form that Backend.AI's own audit log expects."""
    # uuid.UUID costs three times as much, and this runs once per request that brings no ID.
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def read(context: Context | None = None) -> str | None:
    """Return the request ID bound in ``context`` (default: the current one), or ``None``.

    A baggage entry that is not acceptable counts as absent: baggage crosses trust borders.
    """
    value = baggage.get_baggage(ATTRIBUTE_REQUEST_ID, context)
    return value if is_acceptable(value) else None


def bind(request_id: str, context: Context | None = None) -> Context:
    """Return ``context`` (default: the current one) with ``request_id`` bound; nothing changes until it is attached.

    Raises:
        ValueError: ``request_id`` is not acceptable. Check with :func:`is_acceptable` what came from outside.
    """
    if not is_acceptable(request_id):
        raise ValueError("not an acceptable request ID: 1 to 128 characters of A-Z a-z 0-9 . _ : / + = @ -")
    return baggage.set_baggage(ATTRIBUTE_REQUEST_ID, request_id, context)


def unbind(context: Context) -> Context:
    """Return ``context`` without a request ID entry, acceptable or not."""
    if baggage.get_baggage(ATTRIBUTE_REQUEST_ID, context) is None:
        return context
    return baggage.remove_baggage(ATTRIBUTE_REQUEST_ID, context)
