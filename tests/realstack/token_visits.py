# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Whether who came back with a token continued the request that made it: a judgement over spans, and nothing else."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_REQUEST_ID


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a client does: the manager's route that gives a token, and the paths that it is brought to.

    ``app`` says that the client then calls an app, at the component that serves users' apps.
    """

    made_by: str
    brought_to: Collection[str]
    app: bool = False


EXPECTATIONS = {
    "folder upload": Expectation("request-upload", ("/upload",)),
    "folder download": Expectation("request-download", ("/download",)),
    "app start": Expectation("start-service", ("/v2/proxy/auth", "/setup"), app=True),
}
_FRONTENDS = ("proxy-worker", "wsproxy")
_PATH = "url.path"
_TOKEN = re.compile(
    r"\btoken=(?!REDACTED)|/v2/proxy/(?!REDACTED|[{]token)[^/?]+/[^/?]+/(?:add|delete)|\beyJ[\w-]{8,}[.][\w-]+[.]",
    re.IGNORECASE,
)
_ROUTE = "http.route"


@dataclass(frozen=True, slots=True)
class Visits:
    """What was found of one journey; ``problems`` is empty when all of it is one trace, under one request ID."""

    made: Span | None
    visits: Sequence[Span]
    problems: Sequence[str]


def visits_of(spans: Sequence[Span], expectation: Expectation, began: float, ended: float) -> Visits:
    """Judge what arrived between two times.

    Args:
        spans: All that is known.
        expectation: What the client did.
        began: Seconds since the epoch.
        ended: Ditto.
    """
    arrived = [
        span for span in spans if span.kind == "server" and int(began * 1e9) <= span.start_ns <= int(ended * 1e9)
    ]
    made = next((span for span in arrived if expectation.made_by in str(span.attributes.get(_ROUTE, ""))), None)
    visits = [span for span in arrived if _path(span) in expectation.brought_to]
    calls = [
        span
        for span in arrived
        if expectation.app
        and span.service.endswith(_FRONTENDS)
        and span not in visits
        and span.start_ns > _last(visits)
    ]
    if made is None:
        return Visits(None, visits, ["no request that makes the token"])
    problems = [f"nobody came to {path}" for path in expectation.brought_to if path not in map(_path, visits)]
    if expectation.app and not calls:
        problems.append("nobody called the app")
    for span in (*visits, *calls):
        if span.trace_id != made.trace_id:
            problems.append(f"{span.service} {span.name} {_path(span)} is in another trace")
        if span.attributes.get(ATTRIBUTE_REQUEST_ID) != made.attributes.get(ATTRIBUTE_REQUEST_ID):
            problems.append(f"{span.service} {span.name} {_path(span)} is under another request ID")
    return Visits(made, [*visits, *calls], problems)


def that_show_tokens(spans: Sequence[Span]) -> list[Span]:
    """The spans that have a token in an attribute: in a query, in the app-proxy's path, or a JSON web token."""
    return [span for span in spans if any(_TOKEN.search(str(value)) for value in span.attributes.values())]


def _path(span: Span) -> str:
    return str(span.attributes.get(_PATH, ""))


def _last(visits: Sequence[Span]) -> int:
    return max((span.start_ns for span in visits), default=0)
