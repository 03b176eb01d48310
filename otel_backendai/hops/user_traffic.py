# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Traffic from end users to their own programs: what a client of ours sent along ends at the app-proxy.

The app-proxy copies the headers of the end user's request. Those that a client under this plugin has added are taken
off; what a user's own client and program tell each other, trace headers of their own included, passes as it is.
"""

from multidict import CIMultiDict
from opentelemetry import context as context_api
from opentelemetry.context import Context, create_key

from otel_backendai.names import (
    ATTRIBUTE_REQUEST_ID,
    BAGGAGE,
    HEADER_BACKENDAI_REQUEST_ID,
    HEADER_RESPONSE_REQUEST_ID,
    REQUEST_ID_HEADERS,
    TRACEPARENT,
    TRACESTATE,
)

_USER_TRAFFIC = create_key("otel-backendai-user-traffic")


def with_user_traffic(context: Context) -> Context:
    """Return ``context`` in which outbound HTTP calls go to an end user's program, whatever their headers say."""
    return context_api.set_value(_USER_TRAFFIC, True, context)


def is_user_traffic(context: Context) -> bool:
    """Whether outbound HTTP calls in ``context`` go to an end user's program."""
    return context_api.get_value(_USER_TRAFFIC, context) is True


def take_ours_off(headers: CIMultiDict[str]) -> None:
    """Remove from copied ``headers`` what a client under this plugin added; nothing if it was none.

    Such a client is known by our entry in its baggage, or by a header that only Backend.AI uses: ``traceparent`` or
    ``X-Request-ID`` alone may be the program's own affair. Other baggage entries stay.
    """
    entries = ",".join(headers.getall(BAGGAGE, ())).split(",")
    others = [entry for entry in entries if entry.partition("=")[0].strip() != ATTRIBUTE_REQUEST_ID]
    is_ours_in_baggage = len(others) < len(entries)
    if not (is_ours_in_baggage or HEADER_BACKENDAI_REQUEST_ID in headers or HEADER_RESPONSE_REQUEST_ID in headers):
        return
    for name in (*REQUEST_ID_HEADERS, TRACEPARENT, TRACESTATE):
        headers.popall(name, None)
    if is_ours_in_baggage:
        headers.popall(BAGGAGE, None)
        if others:
            headers[BAGGAGE] = ",".join(others)
