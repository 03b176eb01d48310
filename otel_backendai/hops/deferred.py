# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Deferred work: a session owns the context of the request that made it, and who acts on it later continues that.

A request leaves a row and a mark, and a scheduler on a timer, maybe in another process, picks up whatever is pending.
The context is kept under the session's ID, in this process (bounded) and in the cluster's Redis (with a time-out).
Work in nobody's context that is about exactly one known session runs in the session's; nothing here ever waits.
"""

import time
from collections.abc import Mapping
from typing import Final

from opentelemetry import context as context_api
from opentelemetry.context import Context, create_key
from opentelemetry.trace import INVALID_SPAN, Link, SpanKind, get_current_span, set_span_in_context
from opentelemetry.util.types import AttributeValue

from otel_backendai.guard import Guard
from otel_backendai.hops.kept import Kept
from otel_backendai.hops.kept_contexts import KeptContexts
from otel_backendai.hops.kept_settings import configured_limit, configured_ttl
from otel_backendai.hops.quiet_span import is_quiet, woken
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_ROUTE_ID, ATTRIBUTE_SESSION_ID, SESSION_CHANNEL, SESSION_KEY_PREFIX
from otel_backendai.patching import Hop
from otel_backendai.request_id import is_acceptable

HOP = Hop("deferred")

# Seconds: work that comes later than this after the request is linked to its trace instead of stretching it.
MAX_AGE_OF_CHILD: Final = 3600.0

_SHARED = create_key("otel-backendai-shared-work")
_KEEP = Guard("deferred: keep")

sessions = KeptContexts(SESSION_KEY_PREFIX, configured_limit(), configured_ttl(), SESSION_CHANNEL)


def remember(session: object, status: str | None = None) -> None:
    """Keep the current context as that of ``session`` (an ID as text); anything else is left."""
    with _KEEP:
        if HOP.active and is_acceptable(session):
            sessions.remember(session, woken(context_api.get_current()), status)


def with_shared_work(context: Context) -> Context:
    """Return ``context``, marked: what runs in it may be work for many, so who names a session works for that one."""
    return context_api.set_value(_SHARED, True, context)


def is_shared(context: Context) -> bool:
    """Whether ``context`` was marked by :func:`with_shared_work`."""
    return context_api.get_value(_SHARED, context) is not None


def is_anyones(context: Context) -> bool:
    """Whether ``context`` is that of a timer or of marked work, and not that of a request which acts on a session."""
    return is_shared(context) or is_quiet(context)


def continued(context: Context, entities: Mapping[str, str]) -> tuple[Context, list[Link]]:
    """Return the context and the links with which something about ``entities`` starts in ``context``.

    Those of the session that ``entities`` name, if it is known and ``context`` is anyone's; else ``context``.
    """
    # A route is a replica of a model service that has no session yet.
    session = entities.get(ATTRIBUTE_SESSION_ID) or entities.get(ATTRIBUTE_ROUTE_ID)
    if session is None or not HOP.active or not is_anyones(context):
        return context, []
    kept = sessions.find(session)
    return (context, []) if kept is None else context_of(kept)


def context_of(kept: Kept) -> tuple[Context, list[Link]]:
    """Return the context to act on a session in: below the request while that is young, later a linked root."""
    if time.time() - kept.at <= MAX_AGE_OF_CHILD:
        return kept.context, []
    request = get_current_span(kept.context).get_span_context()
    return set_span_in_context(INVALID_SPAN, kept.context), [Link(request)] if request.is_valid else []


def session_scope(name: str, session: str, attributes: Mapping[str, AttributeValue] | None = None) -> SpanScope:
    """Return the scope of work for one session: a span in its context; the current context when it is not known.

    Args:
        name: The span's name.
        session: The session's ID.
        attributes: Further attributes of the span.
    """
    current = context_api.get_current()
    entities = {ATTRIBUTE_SESSION_ID: session}
    context, links = continued(with_shared_work(current), entities)
    if is_shared(context):
        return SpanScope(None, name, SpanKind.INTERNAL, current)
    return SpanScope(HOP.tracer, name, SpanKind.INTERNAL, context, {**entities, **(attributes or {})}, links)
