# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The judgement about a client without the plugin: what counts as one trace, and what does not."""

from dataclasses import replace

import pytest

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_REQUEST_ID
from tests.realstack.token_visits import EXPECTATIONS, Visits, that_show_tokens, visits_of

_SECOND = 1_000_000_000
MADE = Span(
    trace_id="t",
    span_id="1",
    parent_span_id="",
    name="POST",
    kind="server",
    start_ns=_SECOND,
    end_ns=2 * _SECOND,
    service="backend.ai-manager",
    attributes={ATTRIBUTE_REQUEST_ID: "a", "http.route": "/session/{name}/start-service", "url.path": "/session/x"},
)


def visit(at: int, path: str, service: str = "backend.ai-proxy-coordinator", **changes: object) -> Span:
    """A request to ``path`` at a second."""
    attributes = {ATTRIBUTE_REQUEST_ID: "a", "url.path": path}
    made = replace(MADE, start_ns=at * _SECOND, service=service, attributes=attributes)
    return replace(made, **changes)  # type: ignore[arg-type]  # names of fields


AUTH, SETUP = visit(2, "/v2/proxy/auth"), visit(3, "/setup", "backend.ai-proxy-worker")
CALL = visit(4, "/", "backend.ai-proxy-worker")


def judged(*spans: Span) -> Visits:
    """What is said about an app's start between two seconds."""
    return visits_of(spans, EXPECTATIONS["app start"], 0.5, 10)


def test_one_trace_is_good() -> None:
    """All of it is found, and nothing else: what came before or after, or is no visit, does not matter."""
    poll = visit(5, "/status", "backend.ai-manager", trace_id="other")
    found = judged(MADE, AUTH, SETUP, CALL, visit(11, "/setup", trace_id="other"), poll)
    assert (found.made, list(found.visits), list(found.problems)) == (MADE, [AUTH, SETUP, CALL], [])


@pytest.mark.parametrize(
    ("spans", "problem"),
    [
        ((AUTH, SETUP, CALL), "no request that makes the token"),
        ((MADE, AUTH, CALL), "nobody came to /setup"),
        ((MADE, AUTH, SETUP), "nobody called the app"),
        ((MADE, AUTH, replace(SETUP, trace_id="u"), CALL), "backend.ai-proxy-worker POST /setup is in another trace"),
        ((MADE, AUTH, SETUP, replace(CALL, trace_id="u")), "backend.ai-proxy-worker POST / is in another trace"),
        (
            (MADE, replace(AUTH, attributes={"url.path": "/v2/proxy/auth"}), SETUP, CALL),
            "backend.ai-proxy-coordinator POST /v2/proxy/auth is under another request ID",
        ),
    ],
)
def test_what_is_bad(spans: tuple[Span, ...], problem: str) -> None:
    """A part that is missing, in another trace or under another ID is named."""
    assert problem in judged(*spans).problems


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://s/upload?token=abc", True),
        ("/v2/proxy/0f8fad5b/7c9e6679/add", True),
        ("GET eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln", True),
        ("http://s/upload?token=REDACTED&a=1", False),
        ("/v2/proxy/REDACTED/7c9e6679/add", False),
        ("/v2/proxy/{token}/{session_id}/add", False),
        ("/v2/proxy/auth", False),
    ],
)
def test_a_span_that_shows_a_token(text: str, shown: bool) -> None:
    """In whichever attribute, and whoever made the span."""
    assert (that_show_tokens([replace(MADE, attributes={"any": text})]) != []) is shown
