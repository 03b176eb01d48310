# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Tokens: who comes back with one, and with no context of its own, continues the request that made the token.

Kept under a digest, never under the token. Who makes a token keeps the context, tells it to all processes that tokens
are brought to, and leaves it in Redis: so it is there before the client is. Where it is not, a request starts a trace
of its own, which is linked once Redis has answered, and the next one with that token continues.

Two requests that ask for the same within one second may be given the same token: in a JSON web token nothing differs
but the second. Whose bearer comes with it cannot be told, so that is a request of its own, linked to both.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, get_current_span

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops.deferred import HOP, context_of
from otel_backendai.hops.kept import Kept
from otel_backendai.hops.kept_contexts import KeptContexts
from otel_backendai.hops.kept_settings import configured_limit, configured_ttl
from otel_backendai.hops.quiet_span import woken
from otel_backendai.names import TOKEN_CHANNEL, TOKEN_KEY_PREFIX

# Characters; a JSON web token of Backend.AI has some hundreds.
_MAX_LENGTH: Final = 4096

_REMEMBER = Guard("tokens: remember")
_LINK = Guard("tokens: link")

# Seconds between two requests that were given a token with the same second in it; kept when it has been made.
_MOMENT: Final = 2.0


def token_table() -> KeptContexts:
    """A new table of tokens."""
    return KeptContexts(TOKEN_KEY_PREFIX, configured_limit(), configured_ttl(), TOKEN_CHANNEL, moment=_MOMENT)


tokens = token_table()


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
    if kept is None or not _says_something(kept, token):
        return context, []
    if kept.others:
        return Context(), list(map(Link, _requests(kept)))
    return context_of(kept)


def link_when_found(context: Context, token: Token, span: Span) -> None:
    """Link ``span`` to the request that made ``token``, if that is not known here and Redis knows it.

    Args:
        context: What the headers of the span's request say, as for :func:`continued`.
        token: What it has brought.
        span: Of a request that has started a trace of its own.
    """

    def link(kept: Kept) -> None:
        with _LINK:
            # The SDK logs a warning when the request is over already.
            if _says_something(kept, token) and span.is_recording():
                for made in _requests(kept):
                    span.add_link(made)

    with _LINK:
        if HOP.active and _is_nobodys(context) and tokens.known(token.digest) is None:
            tokens.when_found(token.digest, link)


def _is_nobodys(context: Context) -> bool:
    return request_id.read(context) is None and not get_current_span(context).get_span_context().is_valid


def _requests(kept: Kept) -> list[SpanContext]:
    """The spans that a token was made in, of each request that has made it."""
    found = [get_current_span(context).get_span_context() for context in kept.contexts]
    return [made for made in found if made.is_valid]


def _says_something(kept: Kept, token: Token) -> bool:
    return token.max_age is None or time.time() - kept.at <= token.max_age
