# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Tokens: who comes back with one, and with no context of its own, continues the request that made the token.

Kept under a digest, never under the token. Who makes a token keeps the context, tells it to all processes that tokens
are brought to, and leaves it in Redis: so it is there before the client is. Where it is not, a request starts a trace
of its own, which is linked once Redis has answered, and the next one with that token continues.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, get_current_span

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops.deferred import HOP, context_of
from otel_backendai.hops.kept_contexts import Kept, KeptContexts, configured_limit, configured_ttl
from otel_backendai.hops.quiet_span import woken
from otel_backendai.names import TOKEN_CHANNEL, TOKEN_KEY_PREFIX

# Characters; a JSON web token of Backend.AI has some hundreds.
_MAX_LENGTH: Final = 4096

_REMEMBER = Guard("tokens: remember")
_LINK = Guard("tokens: link")

tokens = KeptContexts(TOKEN_KEY_PREFIX, configured_limit(), configured_ttl(), TOKEN_CHANNEL)


@dataclass(frozen=True, slots=True)
class Token:
    """A token that a request has brought.

    Attributes:
        digest: What it is known by.
        max_age: Seconds since it was made after which it says nothing any more about who brings it; ``None``: never.
    """

    digest: str
    max_age: float | None = None


# What a request has brought, or ``None``; the argument is aiohttp's request.
TokenOf = Callable[[Any], Token | None]


def digest_of(text: object) -> str | None:
    """Return what a token is known by; ``None`` for what is no text, or too long for a token."""
    if not isinstance(text, str) or not 0 < len(text) <= _MAX_LENGTH:
        return None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def expect() -> None:
    """Say that a token is about to be made, so that telling of it does not begin with a connection."""
    tokens.expect()


def remember(text: object) -> None:
    """Keep the current context as that of the token ``text``, here and wherever it may be brought to."""
    with _REMEMBER:
        digest = digest_of(text)
        if HOP.active and digest is not None:
            tokens.remember(digest, woken(context_api.get_current()))


def continued(context: Context, token: Token) -> tuple[Context, list[Link]]:
    """Return the context and the links that a request with ``token`` starts with.

    Args:
        context: What its headers say; if that is a request ID or a trace, it is the request's own and remains.
        token: What it has brought.
    """
    if not HOP.active or not _is_nobodys(context):
        return context, []
    kept = tokens.known_by_now(token.digest)
    return (context, []) if kept is None or not _says_something(kept, token) else context_of(kept)


def link_when_found(context: Context, token: Token, span: Span) -> None:
    """Link ``span`` to the request that made ``token``, if that is not known here and Redis knows it.

    Args:
        context: What the headers of the span's request say, as for :func:`continued`.
        token: What it has brought.
        span: Of a request that has started a trace of its own.
    """

    def link(kept: Kept) -> None:
        with _LINK:
            made = get_current_span(kept.context).get_span_context()
            # The SDK logs a warning when the request is over already.
            if made.is_valid and _says_something(kept, token) and span.is_recording():
                span.add_link(made)

    with _LINK:
        if HOP.active and _is_nobodys(context) and tokens.known(token.digest) is None:
            tokens.when_found(token.digest, link)


def _is_nobodys(context: Context) -> bool:
    return request_id.read(context) is None and not get_current_span(context).get_span_context().is_valid


def _says_something(kept: Kept, token: Token) -> bool:
    return token.max_age is None or time.time() - kept.at <= token.max_age
