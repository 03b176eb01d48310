# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""RPC between the manager's peer of a released Backend.AI and the agent's registries, over ZeroMQ."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from otel_backendai import instrumentors
from otel_backendai.api import bind_request_id
from otel_backendai.api import current_request_id as ours
from tests.conftest import Telemetry
from tests.releases.bus import OF_STREAMS
from tests.releases.conftest import switched_on
from tests.releases.test_request_context import get, manager, theirs

WITH_CONTEXT = pytest.mark.releases(since="25.6")


def peer_class() -> Any:
    """The manager's `PeerInvoker`."""
    try:
        from ai.backend.common.clients.agent.peer import PeerInvoker
    except ImportError:
        from ai.backend.manager.agent_cache import PeerInvoker
    return PeerInvoker


class Agent:
    """What the agent's RPC handlers see, by the registry of the release."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, str | None, trace.SpanContext]] = []

    def registered(self) -> Any:
        """A handler that the release's own registry has decorated."""
        from ai.backend.agent.server import RPCFunctionRegistry

        async def hello(server: Any, name: str) -> str:
            self.seen.append((None if OF_STREAMS else theirs(), ours(), trace.get_current_span().get_span_context()))
            return f"hello {name}"

        decorated = RPCFunctionRegistry()(hello)

        async def handle(request: Any) -> Any:
            return await decorated(None, request)

        return handle


@asynccontextmanager
async def connected(agent: Agent, path: Path) -> AsyncIterator[Any]:
    """The manager's peer, connected to a peer that serves `hello` as the agent does."""
    from ai.backend.common import msgpack
    from callosum.lower.zeromq import ZeroMQAddress, ZeroMQRPCTransport
    from callosum.ordering import ExitOrderedAsyncScheduler
    from callosum.rpc import Peer

    address = ZeroMQAddress(f"ipc://{path / f'rpc-{os.getpid()}'}")
    options: dict[str, Any] = {
        "transport": ZeroMQRPCTransport,
        "serializer": msgpack.packb,
        "deserializer": msgpack.unpackb,
    }
    scheduler: Any = ExitOrderedAsyncScheduler  # its constructor has no types
    server = Peer(bind=address, scheduler=scheduler(), **options)
    server.handle_function("hello", agent.registered())
    async with server, peer_class()(connect=address, **options) as peer:
        yield peer


def off(name: str) -> None:
    """Switch one hop off."""
    instrumentors.BY_NAME[f"backendai_{name}"]().hop.uninstall()


async def test_one_client_and_one_server_span(telemetry: Telemetry, tmp_path: Path) -> None:
    """Below each other, with the request ID; upstream's own SERVER span of 26.9 is no second one."""
    agent = Agent()
    async with connected(agent, tmp_path) as peer:
        with bind_request_id("req-1"), trace.get_tracer("test").start_as_current_span("work") as work:
            assert await asyncio.wait_for(peer.call.hello("you"), 10) == "hello you"
    client, server = telemetry.only(SpanKind.CLIENT), telemetry.only(SpanKind.SERVER)
    assert client.parent is not None
    assert client.parent.span_id == work.get_span_context().span_id
    assert server.parent is not None
    assert server.parent.span_id == client.context.span_id
    ((backend, own, current),) = agent.seen
    assert current == server.context
    assert own == "req-1"
    assert backend == (None if OF_STREAMS else "req-1")


@pytest.mark.releases(since="26.9")
async def test_without_our_rpc_hop_upstreams_span_is_there(telemetry: Telemetry, tmp_path: Path) -> None:
    """Only while ours is active does upstream's give way."""
    off("rpc")
    agent = Agent()
    async with connected(agent, tmp_path) as peer:
        with trace.get_tracer("test").start_as_current_span("work") as work:
            await asyncio.wait_for(peer.call.hello("you"), 10)
    server = telemetry.only(SpanKind.SERVER)
    assert server.parent is not None
    assert server.parent.span_id == work.get_span_context().span_id
    assert server.instrumentation_scope is not None
    assert server.instrumentation_scope.name == "ai.backend.common.message_queue.types"


@pytest.mark.releases(since="26.9")
async def test_a_manager_without_the_plugin_is_continued(telemetry: Telemetry, tmp_path: Path) -> None:
    """Its `metadata` names request ID and trace; the agent of 26.9 throws the request ID away without us."""
    from ai.backend.common.message_queue.types import MessageMetadata

    agent = Agent()
    async with connected(agent, tmp_path) as peer:
        with bind_request_id("req-plain"), trace.get_tracer("test").start_as_current_span("work") as work:
            metadata = MessageMetadata.from_current_context().model_dump(mode="json")
            body = {"args": ("you",), "kwargs": {}, "metadata": metadata}
            await asyncio.wait_for(_unwrapped_invoke(peer, body), 10)
    server = telemetry.only(SpanKind.SERVER)
    assert server.parent is not None
    assert server.parent.span_id == work.get_span_context().span_id
    assert [own for _, own, _ in agent.seen] == ["req-plain"]


async def _unwrapped_invoke(peer: Any, body: dict[str, Any]) -> Any:
    from otel_backendai.hops.rpc import HOP

    (original,) = [applied.original for applied in HOP._applied if applied.name == "invoke"]
    return await original(peer, "hello", body)  # type: ignore[operator]  # Peer.invoke as it was


@WITH_CONTEXT
@pytest.mark.parametrize(
    "without",
    [(), ("backendai_http_server",), ("backendai_http_server", "backendai_request_context")],
    ids=["all hops", "without HTTP in", "RPC alone"],
)
async def test_the_rpc_of_a_hostile_request_works(
    recorded: Telemetry, tmp_path: Path, without: tuple[str, ...]
) -> None:
    """A raw \\xff in the header hangs each RPC of the request on 26.9 without us."""
    switched_on(recorded, *without)
    agent, answers, results = Agent(), list[tuple[str | None, str | None]](), list[str]()
    async with connected(agent, tmp_path) as peer:

        async def call() -> None:
            results.append(await asyncio.wait_for(peer.call.hello("you"), 10))

        async with manager(answers, call) as port:
            await get(port, b"X-BackendAI-RequestID: \xff")
    assert results == ["hello you"]
    if "backendai_request_context" not in without:
        assert [own for _, own, _ in agent.seen] == [answers[0][1]]
