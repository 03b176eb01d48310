# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Every test leaves no trace: hops off, patched attributes original, context and environment as before."""

import os
import threading
from collections.abc import Iterator

import pytest
from opentelemetry import context as context_api
from opentelemetry import propagate
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from otel_backendai import guard
from otel_backendai.hops import (
    background,
    context_store,
    contrib_server,
    deferred,
    events,
    http_client,
    http_server,
    logs,
    rpc,
    tokens,
)
from otel_backendai.hops.kept_contexts import KeptContexts
from otel_backendai.hops.kept_settings import DEFAULT_LIMIT, DEFAULT_TTL
from otel_backendai.names import SESSION_CHANNEL, SESSION_KEY_PREFIX
from otel_backendai.releases import request_context
from otel_backendai.sdk.span_processor import equip

HOPS = (
    http_server.HOP,
    http_client.HOP,
    rpc.HOP,
    events.HOP,
    background.HOP,
    deferred.HOP,
    logs.HOP,
    request_context.HOP,
)


class Telemetry:
    """The spans of one test, and ways to ask for them."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        equip(self.provider)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """All finished spans, in the order in which they ended."""
        return self.exporter.get_finished_spans()

    def of_kind(self, kind: SpanKind) -> list[ReadableSpan]:
        """The finished spans of one kind."""
        return [span for span in self.spans if span.kind is kind]

    def only(self, kind: SpanKind) -> ReadableSpan:
        """The single finished span of one kind; fails when there are none or several."""
        found = self.of_kind(kind)
        assert len(found) == 1, [(span.name, span.kind) for span in self.spans]
        return found[0]


@pytest.fixture(autouse=True)
def leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore what a test may change, and fail the test that left a context attached or a hop on."""
    monkeypatch.setattr(guard, "strict", True)
    for hop_module in (rpc, http_server):
        monkeypatch.setattr(hop_module, "entities_of", None)
    monkeypatch.setattr(http_server, "token_of", None)
    monkeypatch.setattr(
        deferred, "sessions", KeptContexts(SESSION_KEY_PREFIX, DEFAULT_LIMIT, DEFAULT_TTL, SESSION_CHANNEL)
    )
    monkeypatch.setattr(tokens, "tokens", tokens.token_table())
    monkeypatch.setattr(context_store, "IDLE", 0.05)
    environment = dict(os.environ)
    propagator = propagate.get_global_textmap()
    before = context_api.get_current()
    yield
    left_on = [hop.name for hop in HOPS if hop.active]
    for hop in HOPS:
        hop.uninstall()
    contrib_server.GUARDING.uninstall()
    propagate.set_global_textmap(propagator)
    left_attached = context_api.get_current()
    if left_attached is not before:
        context_api.attach(before)
    os.environ.clear()
    os.environ.update(environment)
    stores = [thread for thread in threading.enumerate() if thread.name == context_store.THREAD_NAME]
    for thread in stores:
        thread.join(10)
    assert not any(thread.is_alive() for thread in stores)
    assert not left_on
    assert left_attached == before


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """All hops on, spans kept in memory."""
    gathered = Telemetry()
    contrib_server.GUARDING.install()
    for hop in HOPS:
        hop.install(gathered.provider)
    yield gathered
    for hop in HOPS:
        hop.uninstall()
    contrib_server.GUARDING.uninstall()
