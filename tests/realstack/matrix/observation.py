# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What one run of a release's scenario left behind: at the client, at the receiver, in the log files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from otel_backendai.desk.model import LogLine, Span
from otel_backendai.names import ATTRIBUTE_REQUEST_ID, LOG_REQUEST_ID

_SERVICE_PREFIX = "backend.ai-"


class Hop(StrEnum):
    """The nine borders that a request crosses."""

    HTTP_IN = "HTTP in"
    HTTP_OUT = "HTTP out"
    WEBSOCKET = "WebSocket"
    RPC_OUT = "RPC out"
    RPC_IN = "RPC in"
    EVENT_OUT = "event out"
    EVENT_IN = "event in"
    BACKGROUND = "background"
    LOG_RECORDS = "log records"


@dataclass(frozen=True, slots=True)
class Response:
    """What the client got for one of its requests, a redirect too.

    Attributes:
        method: Of the request.
        url: Without a query.
        status: The status code.
        request_ids: All values of ``X-Backend-Request-ID``.
    """

    method: str
    url: str
    status: int
    request_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the client did, under a request ID and in a trace of its own, or in those of its journey.

    Attributes:
        title: As the scenario calls it.
        request_id: Bound by the client around the step.
        trace_id: Of the client's span around the step.
        error: What went wrong, "" when it worked.
        note: What the scenario noted, above all ``arrived``: the headers that a user's program got.
        journey: What the step is a part of, or "".
        waits: Whether its time is that of a scheduler.
        seconds: How long it took.
        responses: All that the client got meanwhile; none of them of a user's program itself.
    """

    title: str
    request_id: str
    trace_id: str
    error: str = ""
    note: Mapping[str, object] = field(default_factory=dict)
    journey: str = ""
    waits: bool = False
    seconds: float = 0.0
    responses: Sequence[Response] = ()


@dataclass(frozen=True, slots=True)
class Journey:
    """What several steps that are one thing to a user have to show.

    Attributes:
        calls: Pairs of caller and called, over HTTP or RPC.
        websocket: Pairs with an upgrade.
        program: Whether it ends at a user's program, which tells what reached it.
    """

    calls: Sequence[tuple[str, str]]
    websocket: Sequence[tuple[str, str]] = ()
    program: bool = False

    @property
    def components(self) -> list[str]:
        """All that serve a part of it."""
        return sorted({called for _caller, called in [*self.calls, *self.websocket]})


@dataclass(frozen=True, slots=True)
class Expectation:
    """Which components a release's scenario takes over each hop, from its ``hops.toml``.

    A component is a name, a pair is caller and called. ``absent`` gives the reason for each hop that the release or
    its stack does not have; ``journeys`` are judged beside the hops, by their titles in the scenario. ``native_rpc``:
    whether the release's own RPC carries a request ID and a trace. ``no_otel``: why the release cannot be run with its
    own ``[otel]`` section on, or "".
    """

    http_in: Sequence[str] = ()
    http_out: Sequence[tuple[str, str]] = ()
    websocket: Sequence[tuple[str, str]] = ()
    rpc: Sequence[tuple[str, str]] = ()
    event_out: Sequence[str] = ()
    event_in: Sequence[str] = ()
    background: Sequence[str | tuple[str, str]] = ()
    log_records: Sequence[str] = ()
    absent: Mapping[Hop, str] = field(default_factory=dict)
    journeys: Mapping[str, Journey] = field(default_factory=dict)
    native_rpc: bool = False
    no_otel: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that a judgement may look at.

    Attributes:
        steps: What the client did.
        spans: All spans that arrived.
        logs: All log records that arrived.
        lines: The text of each component's log file, by lines.
        json_lines: The lines of each component's JSON log file; nothing in the place of one that is no object.
    """

    steps: Sequence[Step]
    spans: Sequence[Span]
    logs: Sequence[LogLine] = ()
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    json_lines: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)


def named(item: Span | LogLine) -> str:
    """The request ID that a span or a log record carries by any of our names, or ""."""
    return str(item.attributes.get(LOG_REQUEST_ID) or request_id_of(item))


def component_of(item: Span | LogLine) -> str:
    """The component's name as the stack knows it: ``manager`` of ``backend.ai-manager``."""
    return item.service.removeprefix(_SERVICE_PREFIX)


def request_id_of(item: Span | LogLine) -> str:
    """The request ID that ``item`` carries, or ""."""
    return str(item.attributes.get(ATTRIBUTE_REQUEST_ID) or "")
