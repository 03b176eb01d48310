# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Jaeger's query API as a source. A search needs a service, so each is asked, and the traces are merged by their ID."""

import asyncio
import json
import re
import time
from dataclasses import replace
from typing import Any

from otel_backendai.cli.trace_http import JSONClient
from otel_backendai.cli.trace_identifiers import entity_spellings
from otel_backendai.cli.trace_reading import read_jaeger_trace, reading
from otel_backendai.cli.trace_source import JAEGER, Answer, Question, latest
from otel_backendai.desk.model import Span
from otel_backendai.names import (
    ATTRIBUTE_KERNEL_ID,
    ATTRIBUTE_REQUEST_ID,
    ATTRIBUTE_SESSION_ID,
    ATTRIBUTE_VFOLDER_ID,
)

# Each answer holds whole traces, and the same trace comes once per service that is in it.
_CONCURRENT_SEARCHES = 4
# Spans of hosts whose clocks are ahead.
_CLOCK_SKEW_US = 5 * 60 * 10**6
_TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}")
_OTHER_ATTRIBUTES = {
    "session": ATTRIBUTE_SESSION_ID,
    "kernel": ATTRIBUTE_KERNEL_ID,
    "vfolder": ATTRIBUTE_VFOLDER_ID,
}


class JaegerSource:
    """A Jaeger, or what answers its query API."""

    kind = JAEGER

    def __init__(self, client: JSONClient) -> None:
        self._client = client
        self.endpoint = client.shown

    async def find(self, question: Question) -> Answer:
        """Everything that carries the identifier; no log lines. Raises :class:`SourceError`."""
        services = await self.services()
        # As at a desk: a request ID may look like a trace ID, and even be one.
        traces = await self._search(ATTRIBUTE_REQUEST_ID, question, services)
        if traces:
            return _answer("request", traces, question, services)
        if _TRACE_ID.fullmatch(question.identifier):
            trace = await self._trace(question.identifier)
            if trace:
                return Answer("trace", [trace], (), services)
        return await self.find_by_attributes(question, services)

    async def find_by_attributes(self, question: Question, services: list[str]) -> Answer:
        """The traces in which the identifier is that of a session, a kernel or a vfolder. Raises ``SourceError``."""
        for spelling in entity_spellings(question.identifier):
            spelled = replace(question, identifier=spelling)
            for found_as, attribute in _OTHER_ATTRIBUTES.items():
                traces = await self._search(attribute, spelled, services)
                if traces:
                    return _answer(found_as, traces, question, services)
        return Answer("", (), (), services)

    async def services(self) -> list[str]:
        """The names of all services, sorted. Raises :class:`SourceError`."""
        names = await self._data("/api/services", {})
        with reading(self.endpoint, "Jaeger"):
            return sorted({str(name) for name in names})

    async def _search(self, attribute: str, question: Question, services: list[str]) -> dict[str, list[Span]]:
        """The traces in which a span has the attribute, by ID."""
        traces: dict[str, list[Span]] = {}
        turns = asyncio.Semaphore(_CONCURRENT_SEARCHES)
        parameters = {
            "tags": json.dumps({attribute: question.identifier}),
            "start": str(question.since_ns // 1000),
            "end": str(time.time_ns() // 1000 + _CLOCK_SKEW_US),
            # One more than wanted tells whether there are more.
            "limit": str(question.limit + 1),
        }

        async def search(service: str) -> None:
            async with turns:
                self._merge(await self._data("/api/traces", {**parameters, "service": service}), traces)

        try:
            async with asyncio.TaskGroup() as tasks:
                for service in services:
                    tasks.create_task(search(service))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        return traces

    async def _trace(self, trace_id: str) -> list[Span]:
        path = f"/api/traces/{trace_id.lower()}"
        status, body = await self._client.get(path)
        if status in (400, 404):
            return []
        traces: dict[str, list[Span]] = {}
        self._merge(self._data_of(path, status, body), traces)
        return next(iter(traces.values()), [])

    def _merge(self, found: Any, traces: dict[str, list[Span]]) -> None:
        with reading(self.endpoint, "Jaeger"):
            while found:
                trace = found.pop()
                if trace["traceID"] not in traces and trace["spans"]:
                    traces[trace["traceID"]] = read_jaeger_trace(trace)

    async def _data(self, path: str, parameters: dict[str, str]) -> Any:
        status, body = await self._client.get(path, parameters)
        return self._data_of(path, status, body)

    def _data_of(self, path: str, status: int, body: Any) -> Any:
        with reading(self.endpoint, "Jaeger"):
            if status == 200:
                return body["data"] or []
            errors = body.get("errors") if isinstance(body, dict) else None
            raise self._client.refused(path, status, errors[0].get("msg") if errors else None)


def _answer(found_as: str, traces: dict[str, list[Span]], question: Question, services: list[str]) -> Answer:
    shown, cut = latest(list(traces.values()), question)
    return Answer(found_as, shown, (), services, cut)
