# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What one run of a release's scenario left behind: at the client, at the receiver, in the log files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from otel_backendai.desk.model import LogLine, Span
from otel_backendai.names import ATTRIBUTE_REQUEST_ID

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
class Step:
    """One thing that the client did, under a request ID and in a trace of its own. ``error`` is "" when it worked."""

    title: str
    request_id: str
    trace_id: str
    error: str = ""
    note: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expectation:
    """Which components a release's scenario takes over each hop, from its ``hops.toml``.

    A component is a name, a pair is caller and called. ``absent`` gives the reason for each hop that the release or
    its stack does not have.
    """

    http_in: Sequence[str] = ()
    http_out: Sequence[tuple[str, str]] = ()
    websocket: Sequence[tuple[str, str]] = ()
    rpc: Sequence[tuple[str, str]] = ()
    event_out: Sequence[str] = ()
    event_in: Sequence[str] = ()
    background: Sequence[tuple[str, str]] = ()
    log_records: Sequence[str] = ()
    absent: Mapping[Hop, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that a judgement may look at.

    Attributes:
        steps: What the client did.
        spans: All spans that arrived.
        logs: All log records that arrived.
        lines: The text of each component's log file, by lines.
    """

    steps: Sequence[Step]
    spans: Sequence[Span]
    logs: Sequence[LogLine] = ()
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)


def component_of(item: Span | LogLine) -> str:
    """The component's name as the stack knows it: ``manager`` of ``backend.ai-manager``."""
    return item.service.removeprefix(_SERVICE_PREFIX)


def request_id_of(item: Span | LogLine) -> str:
    """The request ID that ``item`` carries, or ""."""
    return str(item.attributes.get(ATTRIBUTE_REQUEST_ID) or "")
