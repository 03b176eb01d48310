# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Running the flows of the example cluster, and what the desk received of each."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from backendai_example.topology import FLOWS, Flow
from otel_backendai import request_id as request_ids
from otel_backendai.cli.cluster import Cluster
from otel_backendai.cli.hop_check import FlowResult, check_flow
from otel_backendai.desk.model import LogLine, Span
from otel_backendai.desk.search import TraceQuery
from otel_backendai.desk.store import Store
from otel_backendai.names import ATTRIBUTE_ORIGIN_DETAIL, ORIGIN_BACKGROUND

_ARRIVAL_TIMEOUT = 15.0
_POLL_INTERVAL = 0.1
# The processes send every 0.2 s. After half a second of silence the last of them has sent what it had.
_QUIET_TIME = 0.5


@dataclass(frozen=True, slots=True)
class FlowRun:
    """One run of a flow: ``traces`` by start time, ``result`` is the verdict."""

    name: str
    flow: Flow
    request_id: str
    traces: tuple[tuple[Span, ...], ...]
    logs: tuple[LogLine, ...]
    result: FlowResult

    @property
    def kept(self) -> bool:
        """Whether every hop kept request ID and trace."""
        return not self.result.problems

    @property
    def size(self) -> int:
        """How much has arrived."""
        return sum(map(len, self.traces)) + len(self.logs)


async def run_flows(cluster: Cluster, store: Store, request_id: str | None) -> AsyncIterator[FlowRun]:
    """Run every flow once and give what the store has of it, complete, or after 15 s as far as it came.

    Args:
        cluster: The running cluster.
        store: Where its processes export to.
        request_id: The ID of the flows that a client begins; ``None`` gives each a new one.

    Raises:
        ProcessError: A client failed or a component ended.
    """
    for name, flow in FLOWS.items():
        sent, since_ns = None, time.time_ns()
        if flow.client_arguments is not None:
            sent = request_id or request_ids.mint()
            await cluster.run_client(flow, sent)
        find = _FindRun(store, name, sent, since_ns)
        yield await _settled_run(cluster, find)


async def _settled_run(cluster: Cluster, find: "_FindRun") -> FlowRun:
    deadline = time.monotonic() + _ARRIVAL_TIMEOUT
    best, best_since = find(), time.monotonic()
    while (now := time.monotonic()) < deadline and not (best.kept and now - best_since > _QUIET_TIME):
        cluster.check_running()
        await asyncio.sleep(_POLL_INTERVAL)
        current = find()
        if (current.request_id, current.size) != (best.request_id, best.size):
            best, best_since = current, time.monotonic()
    return best


@dataclass(frozen=True, slots=True)
class _FindRun:
    """Finds the run of a flow that began after ``since_ns``: two flows may have been given the same request ID."""

    store: Store
    name: str
    request_id: str | None
    since_ns: int

    def __call__(self) -> FlowRun:
        """The run under the request ID; of background work the first that is complete, else the most complete."""
        if self.request_id is not None:
            return self._run(self.request_id, self.since_ns)
        runs = [self._run(request_id, 0) for request_id in self._background_request_ids()]
        return min(runs, key=lambda run: len(run.result.problems), default=self._run("", 0))

    def _background_request_ids(self) -> list[str]:
        component = FLOWS[self.name].hops[0].parent
        query = TraceQuery(service=component, tags={ATTRIBUTE_ORIGIN_DETAIL: ORIGIN_BACKGROUND})
        # The store answers the latest first.
        traces = reversed(self.store.find_traces(query))
        return list(dict.fromkeys(found for trace in traces for found in self.store.requests_of_trace(trace)))

    def _run(self, request_id: str, since_ns: int) -> FlowRun:
        known = (tuple(self.store.trace(trace_id)) for trace_id in self.store.traces_of_request(request_id))
        traces = tuple(trace for trace in known if trace[0].start_ns >= since_ns)
        trace_ids = {trace[0].trace_id for trace in traces}
        logs = tuple(
            line
            for line in self.store.logs_of_request(request_id)
            if (line.trace_id in trace_ids if line.trace_id else line.time_ns >= since_ns)
        )
        flow = FLOWS[self.name]
        spans = [span for trace in traces for span in trace]
        return FlowRun(self.name, flow, request_id, traces, logs, check_flow(flow, request_id, spans, logs))
