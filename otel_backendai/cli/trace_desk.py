# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The desk as a source: its own API for spans and log lines, its Jaeger API to search by other IDs."""

import dataclasses
from typing import Any
from urllib.parse import quote

from otel_backendai.cli.trace_http import JSONClient
from otel_backendai.cli.trace_jaeger import JaegerSource
from otel_backendai.cli.trace_reading import read_desk_log, read_desk_span, reading
from otel_backendai.cli.trace_source import DESK, Answer, Question, latest
from otel_backendai.desk.model import LogLine, Span


class DeskSource:
    """A desk at an address."""

    kind = DESK

    def __init__(self, client: JSONClient) -> None:
        self._client = client
        self._search = JaegerSource(client)
        self.endpoint = client.shown

    async def find(self, question: Question) -> Answer:
        """Everything that carries the identifier. Raises :class:`SourceError`."""
        services = await self._search.services()
        for found_as, path in (("request", "/api/requests/"), ("trace", "/api/trace-view/")):
            view = await self._view(path, question.identifier)
            if view is None:
                continue
            since_ns = 0 if found_as == "trace" else question.since_ns
            answer = self._answer(found_as, view, dataclasses.replace(question, since_ns=since_ns), services)
            if answer.traces or answer.logs:
                return answer
        found = await self._search.find_by_attributes(question, services)
        # Of these the search has told only where they are: log lines are in the view of each trace.
        logs: list[LogLine] = []
        for spans in found.traces:
            view = await self._view("/api/trace-view/", spans[0].trace_id)
            if view is not None:
                logs += self._answer("trace", view, question, services).logs
        return dataclasses.replace(found, logs=logs)

    async def _view(self, path: str, identifier: str) -> Any:
        status, body = await self._client.get(path + quote(identifier, safe=""))
        # 400 is the answer to a trace ID that cannot be one.
        if status in (400, 404):
            return None
        if status != 200:
            raise self._client.refused(path, status, None)
        with reading(self.endpoint, "the desk"):
            if body is None:
                # Half an answer must not pass for "nothing is known of it".
                raise TypeError("no JSON")
        return body

    def _answer(self, found_as: str, view: Any, question: Question, services: list[str]) -> Answer:
        traces: list[list[Span]] = []
        with reading(self.endpoint, "the desk"):
            resources: dict[str, dict[str, Any]] = {}
            kept = view["traces"]
            kept.reverse()
            while kept:
                # Taken out one by one, so that only one trace is in memory twice.
                spans = [read_desk_span(span, resources) for span in kept.pop()["spans"]]
                if spans and max(span.end_ns for span in spans) >= question.since_ns:
                    traces.append(spans)
            logs = [read_desk_log(line, resources) for line in view["logs"]]
        shown, cut = latest(traces, question)
        ids = {spans[0].trace_id for spans in shown}
        # A line of a trace whose spans are not there is shown too, unless it may belong to a trace that was cut off.
        inside = [line for line in logs if line.trace_id in ids or (not cut and line.time_ns >= question.since_ns)]
        return Answer(found_as, shown, inside, services, cut)
