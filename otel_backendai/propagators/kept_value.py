# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What is kept with a session or a token: the request that made it. Nothing else in the package knows the layout.

A flat JSON object: the request ID, ``traceparent``, ``tracestate`` and the time of the request. Of the baggage the
request ID only: what an application put beside it is not ours to store. Beside it, other requests that made the same.
"""

import json
import time
from collections.abc import Mapping, Sequence
from itertools import islice

from opentelemetry.context import Context
from opentelemetry.trace import get_current_span

from otel_backendai import request_id
from otel_backendai.names import BAGGAGE, KEPT_OTHERS, KEPT_SINCE, KEPT_STATUS, KEPT_TIME, REQUEST_ID, TRACEPARENT
from otel_backendai.propagators import w3c

# A trace state has 512 characters at the most that must be carried, a request ID 128.
MAX_VALUE_LENGTH = 2048
# Other requests that are kept beside one; there is room for so many.
MAX_OTHERS = 4
# Seconds that the clocks of two nodes may differ.
_CLOCK_SKEW = 300.0


def render_kept_value(
    context: Context,
    at: float,
    status: str | None = None,
    others: Sequence[Context] = (),
    *,
    since: float | None = None,
) -> str | None:
    """Return the text to keep; ``None`` when ``context`` has no request ID and no trace.

    Args:
        context: That of the request.
        at: When the request was made, seconds since the epoch.
        status: Of a session, what it is in.
        others: Those of other requests that have made the same; the first few are kept, none where there is no room.
        since: When the session came to that status, seconds since the epoch, unless that was with the request.
    """
    carried = {name: value for name, value in w3c.carried_from(context).items() if name != BAGGAGE}
    if not carried:
        return None
    own: dict[str, object] = {KEPT_TIME: round(at, 6)}
    if status is not None:
        own[KEPT_STATUS] = status
        if since is not None:
            own[KEPT_SINCE] = round(since, 6)
    if others:
        short = (REQUEST_ID, TRACEPARENT)
        own[KEPT_OTHERS] = [
            {name: value for name, value in w3c.carried_from(other).items() if name in short}
            for other in islice(others, MAX_OTHERS)
        ]
    text = json.dumps({**carried, **own}, separators=(",", ":"))
    if len(text) <= MAX_VALUE_LENGTH:
        return text
    return render_kept_value(context, at, status, since=since) if others else None


def parse_kept_value(value: object) -> tuple[Context, float] | None:
    """Return context and time of what :func:`render_kept_value` made; ``None`` for all that is not well-formed.

    Args:
        value: Text or bytes; anyone who may write to Redis may have written it.
    """
    carrier = _parse(value)
    at = _time_of(carrier.get(KEPT_TIME))
    context = None if at is None else _context_of(carrier)
    return None if at is None or context is None else (context, at)


def parse_kept_others(value: object) -> tuple[Context, ...]:
    """Return the other requests that :func:`render_kept_value` was given; those that are well-formed."""
    others = _parse(value).get(KEPT_OTHERS)
    if not isinstance(others, list):
        return ()
    found = [_context_of(other) for other in others[:MAX_OTHERS] if isinstance(other, dict)]
    return tuple(context for context in found if context is not None)


def parse_kept_status(value: object) -> tuple[str, float] | None:
    """Return the status that :func:`render_kept_value` was given, and since when a session is in it.

    ``None`` when there is none that is well-formed.
    """
    carrier = _parse(value)
    status, since = carrier.get(KEPT_STATUS), _time_of(carrier.get(KEPT_SINCE, carrier.get(KEPT_TIME)))
    is_well_formed = isinstance(status, str) and status.isascii() and status.isidentifier() and len(status) <= 32
    return (str(status), since) if is_well_formed and since is not None else None


def _time_of(value: object) -> float | None:
    # Compared before anything is made of it: an integer may have hundreds of digits. What is later than now would be a
    # span that ends before it begins.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= time.time() + _CLOCK_SKEW:
        return None
    return float(value)


def _context_of(carrier: Mapping[object, object]) -> Context | None:
    found = w3c.extract(({name: carrier[name] for name in carrier if name != BAGGAGE},), Context())
    identifier = carrier.get(REQUEST_ID)
    if request_id.is_acceptable(identifier):
        return request_id.bind(identifier, found)
    has_trace = get_current_span(found).get_span_context().is_valid
    return found if identifier is None and has_trace else None


def _parse(value: object) -> Mapping[object, object]:
    text = w3c.text(value)
    if text is None or len(text) > MAX_VALUE_LENGTH:
        return {}
    try:
        decoded = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}
