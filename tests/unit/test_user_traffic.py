# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Headers that the app-proxy copies from an end user's request: ours are taken off, the user's own are not."""

import pytest
from multidict import CIMultiDict

from otel_backendai.hops.user_traffic import take_ours_off

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OURS = {"X-Request-ID": "r", "X-BackendAI-RequestID": "r", "traceparent": TRACE, "tracestate": "a=b"}
OUR_ENTRY = "backendai.request.id=r"

CASES: list[tuple[dict[str, str], dict[str, str]]] = [
    # A client under this plugin.
    ({**OURS, "baggage": OUR_ENTRY, "Cookie": "c"}, {"Cookie": "c"}),
    ({**OURS, "baggage": f"tenant=blue, {OUR_ENTRY};ttl=1,x=y"}, {"baggage": "tenant=blue,x=y"}),
    ({**OURS, "baggage": "tenant=blue"}, {"baggage": "tenant=blue"}),
    ({"x-backend-request-id": "r", "TraceParent": TRACE, "Accept": "*/*"}, {"Accept": "*/*"}),
    ({"baggage": OUR_ENTRY, "traceparent": TRACE}, {}),
    # Somebody else's: what client and program tell each other is their affair.
    ({"traceparent": TRACE, "X-Request-ID": "own"}, {"traceparent": TRACE, "X-Request-ID": "own"}),
    ({"traceparent": TRACE, "baggage": "a=b"}, {"traceparent": TRACE, "baggage": "a=b"}),
    ({"baggage": "xbackendai.request.id=r"}, {"baggage": "xbackendai.request.id=r"}),
    ({}, {}),
]


@pytest.mark.parametrize(("sent", "expected"), CASES)
def test_what_reaches_the_program(sent: dict[str, str], expected: dict[str, str]) -> None:
    """Exactly what carries our IDs is gone, in whatever case it was written."""
    headers = CIMultiDict(sent)
    take_ours_off(headers)
    assert headers == CIMultiDict(expected)


def test_repeated_headers_stay_repeated() -> None:
    """Cookies are repeated headers; so may ours be, and baggage is one list over all of them."""
    headers = CIMultiDict([("Cookie", "a"), ("Cookie", "b"), ("baggage", "x=y"), ("baggage", OUR_ENTRY)])
    headers.extend([("X-BackendAI-RequestID", "r"), ("X-BackendAI-RequestID", "s")])
    take_ours_off(headers)
    assert sorted(headers.items()) == [("Cookie", "a"), ("Cookie", "b"), ("baggage", "x=y")]
