# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The request that an endpoint of a model service belongs to: the one that made or changed it last.

Its context is kept under the endpoint's ID, for what a timer does about the endpoint later.
"""

from opentelemetry import context as context_api

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.hops import deferred
from otel_backendai.hops.deferred import HOP
from otel_backendai.hops.kept import Kept
from otel_backendai.releases.entities import entity_text

_KEEP = Guard("endpoint owner: keep")


def changed(endpoint: object) -> None:
    """Note that the current request makes or changes an endpoint; what a timer does with one is nobody's wish."""
    with _KEEP:
        context = context_api.get_current()
        text = entity_text(endpoint)
        if text is not None and not deferred.is_anyones(context) and request_id.read(context) is not None:
            deferred.remember(text)


def take_over(entity: object, endpoint: object, *, newer: bool = False) -> None:
    """Make what happens to ``entity`` (a session, a route) part of the request that changed its endpoint last.

    Args:
        entity: The ID of what is made or ended for the endpoint.
        endpoint: The ID of the endpoint.
        newer: Whether an entity that is younger than this request is taken over, too.
    """
    with _KEEP:
        text, owner = entity_text(entity), entity_text(endpoint)
        if text is None or owner is None or not HOP.active:
            return

        def take(kept: Kept) -> None:
            own = deferred.sessions.find(text)
            if own is None or newer or own.at < kept.at:
                deferred.sessions.remember(text, deferred.context_of(kept)[0])

        deferred.sessions.when_found(owner, take)
