# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""RPC out and in, over real Callosum on real ZeroMQ."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgpack
import pytest
from callosum.lower.zeromq import ZeroMQAddress, ZeroMQRPCTransport
from callosum.ordering import ExitOrderedAsyncScheduler
from callosum.rpc import Peer
from callosum.rpc.exceptions import RPCUserError
from opentelemetry import baggage, context, trace
from opentelemetry.trace import SpanKind, StatusCode

from otel_backendai.api import bind_request_id, current_request_id
from otel_backendai.hops import rpc
from otel_backendai.hops.span_errors import MAX_ATTRIBUTE_LENGTH
from otel_backendai.instrumentors import RpcInstrumentor
from tests.conftest import Telemetry
from tests.integration.conftest import free_port

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:callosum")


def pack(body: Any) -> bytes:
    """As Backend.AI packs: subclasses of str and dict are refused."""
    return bytes(msgpack.packb(body, use_bin_type=True, strict_types=True, default=_plain))


def _scheduler() -> Any:
    return ExitOrderedAsyncScheduler()  # type: ignore[no-untyped-call]  # Callosum is typed in part


def _plain(value: Any) -> Any:
    if type(value) is tuple:
        return list(value)
    raise TypeError(f"cannot serialize {type(value)}")


def unpack(data: bytes) -> Any:
    """As Backend.AI unpacks."""
    return msgpack.unpackb(data, raw=False, use_list=False)


class Agent:
    """A server peer with handlers that tell what they saw."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []

    async def whoami(self, request: Any) -> Any:
        """Answer the request ID and baggage that the handler runs under."""
        self.bodies.append(request.body)
        return {"request_id": current_request_id(), "baggage": dict(baggage.get_all()), "args": request.body["args"]}

    async def fail(self, request: Any) -> Any:
        """Raise."""
        raise KeyError(*request.body["args"])

    async def sleep(self, request: Any) -> Any:
        """Work for a moment."""
        await asyncio.sleep(0.5)
        return "done"

    async def raw(self, request: Any) -> Any:
        """Answer the body as it came."""
        return request.body


@pytest.fixture
async def agent() -> AsyncIterator[tuple[Agent, Peer]]:
    """A connected pair: the agent's handlers and the caller's peer."""
    async with pair() as connected:
        yield connected


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Agent, Peer]]:
    address = ZeroMQAddress(f"tcp://127.0.0.1:{free_port()}")
    options: dict[str, Any] = {"serializer": pack, "deserializer": unpack, "transport": ZeroMQRPCTransport}
    handlers = Agent()
    async with AsyncExitStack() as stack:
        server = Peer(bind=address, scheduler=_scheduler(), **options)
        for name in ("whoami", "fail", "sleep", "raw", "ping", "get_logs"):
            server.handle_function(name, getattr(handlers, "whoami" if name in ("ping", "get_logs") else name))
        await stack.enter_async_context(server)
        client = Peer(connect=address, invoke_timeout=5, **options)
        await stack.enter_async_context(client)
        yield handlers, client


def body(**more: Any) -> dict[str, Any]:
    """A body as Backend.AI's PeerInvoker makes it."""
    return {"args": ["a"], "kwargs": {}, **more}


async def test_one_client_and_one_server_span_and_the_request_id_in_the_handler(
    telemetry: Telemetry, agent: tuple[Agent, Peer]
) -> None:
    """SERVER span below the CLIENT span; V3 headers and the V2 field carry the ID; other baggage travels as well."""
    handlers, peer = agent
    sent = body()
    with bind_request_id("req-1"):
        token = context.attach(baggage.set_baggage("tenant", "blue"))
        answer = await peer.invoke("whoami", sent)
        context.detach(token)
    assert answer["request_id"] == "req-1"
    assert answer["baggage"]["tenant"] == "blue"
    assert sent == body(), "the caller's body is never changed"
    received = handlers.bodies[0]
    assert received["request_id"] == "req-1"
    assert received["headers"]["request_id"] == "req-1"
    assert set(received["headers"]) == {"request_id", "traceparent", "baggage"}
    client, server = telemetry.only(SpanKind.CLIENT), telemetry.only(SpanKind.SERVER)
    assert client.context is not None
    assert server.parent is not None
    assert server.parent.span_id == client.context.span_id
    assert server.context is not None
    assert server.context.trace_id == client.context.trace_id
    for span in (client, server):
        assert span.name == "whoami"
        assert span.attributes is not None
        assert span.attributes["rpc.system.name"] == "callosum"
        assert span.attributes["rpc.method"] == "whoami"
        assert span.attributes["backendai.request.id"] == "req-1"
        assert span.status.status_code is StatusCode.UNSET
    assert client.attributes is not None
    assert client.attributes["server.address"] == "127.0.0.1"
    assert isinstance(client.attributes["server.port"], int)


async def test_a_call_without_a_request_gets_a_new_id_at_the_agent(
    telemetry: Telemetry, agent: tuple[Agent, Peer]
) -> None:
    """A body that carries no ID is handled under a new one, whose origin is `rpc`."""
    _, peer = agent
    answer = await peer.invoke("whoami", body())
    server = telemetry.only(SpanKind.SERVER)
    assert server.attributes is not None
    assert answer["request_id"] == server.attributes["backendai.request.id"]
    assert server.attributes["backendai.request.origin.detail"] == "rpc"


async def test_handlers_see_nothing_of_the_start_up_context(telemetry: Telemetry) -> None:
    """Extraction replaces: what was attached when the peer was opened reaches no handler."""
    with bind_request_id("start-up"):
        token = context.attach(baggage.set_baggage("leak", "yes"))
        async with pair() as (_, peer):
            context.detach(token)
            with bind_request_id("req-2"):
                answer = await peer.invoke("whoami", body())
    assert answer["request_id"] == "req-2"
    assert "leak" not in answer["baggage"]


async def test_native_metadata_is_made_true_and_nothing_else_of_it_changes(
    telemetry: Telemetry, agent: tuple[Agent, Peer]
) -> None:
    """A body of Backend.AI 26.9: `metadata` names our CLIENT span and our request ID, for peers without the plugin."""
    handlers, peer = agent
    metadata = {"request_id": None, "user": {"id": 1}, "triggered_user": None, "traceparent": "00-" + "1" * 32 + "-x"}
    with bind_request_id("req-3"):
        await peer.invoke("whoami", body(metadata=metadata))
    received = handlers.bodies[0]["metadata"]
    client = telemetry.only(SpanKind.CLIENT)
    assert client.context is not None
    assert received["request_id"] == "req-3"
    assert received["traceparent"].split("-")[2] == trace.format_span_id(client.context.span_id)
    assert received["user"] == {"id": 1}
    assert set(received) == set(metadata)


async def test_a_26_9_peer_without_the_plugin_is_understood(telemetry: Telemetry, agent: tuple[Agent, Peer]) -> None:
    """`metadata.request_id` and `metadata.traceparent` alone are continued."""
    _, peer = agent
    rpc.HOP.active = False  # the caller has no plugin
    metadata = {"request_id": "native", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    call = asyncio.create_task(peer.invoke("whoami", body(metadata=metadata)))
    await asyncio.sleep(0)
    rpc.HOP.active = True
    answer = await call
    assert answer["request_id"] == "native"
    server = telemetry.only(SpanKind.SERVER)
    assert server.parent is not None
    assert trace.format_span_id(server.parent.span_id) == "b7ad6b7169203331"


async def test_a_v2_body_carries_at_least_the_request_id(telemetry: Telemetry, agent: tuple[Agent, Peer]) -> None:
    """A peer that only knows the top-level field is understood."""
    _, peer = agent
    rpc.HOP.active = False
    call = asyncio.create_task(peer.invoke("whoami", body(request_id="v2-id")))
    await asyncio.sleep(0)
    rpc.HOP.active = True
    assert (await call)["request_id"] == "v2-id"


async def test_a_peer_without_the_plugin_gets_a_body_it_understands(agent: tuple[Agent, Peer]) -> None:
    """The extra keys stand beside `args` and `kwargs`, which stay as they are."""
    _, peer = agent
    telemetry = Telemetry()
    rpc.HOP.install(telemetry.provider)
    try:
        with bind_request_id("req-4"):
            call = asyncio.create_task(peer.invoke("raw", body()))
            await asyncio.sleep(0)
            rpc.HOP.active = False  # the agent has no plugin
            received = await call
    finally:
        rpc.HOP.uninstall()
    assert received["args"] == ("a",)
    assert received["kwargs"] == {}
    assert received["request_id"] == "req-4"


async def test_a_failing_handler_is_an_error_on_both_spans(telemetry: Telemetry, agent: tuple[Agent, Peer]) -> None:
    """The caller gets Callosum's own exception; both spans name the exception of the handler."""
    _, peer = agent
    with pytest.raises(RPCUserError):
        await peer.invoke("fail", body())
    for kind in (SpanKind.CLIENT, SpanKind.SERVER):
        span = telemetry.only(kind)
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes is not None
        assert span.attributes["error.type"] == "KeyError"
        assert [event.name for event in span.events] == ["exception"]


async def test_a_callers_error_is_the_handlers_in_a_line(telemetry: Telemetry, agent: tuple[Agent, Peer]) -> None:
    """What Callosum adds to it, the handler's traceback with its machine's paths, is in the stack trace only."""
    _, peer = agent
    with pytest.raises(RPCUserError) as raised:
        await peer.invoke("fail", body(args=["no such kernel"]))
    assert "Traceback" in str(raised.value)
    client = telemetry.only(SpanKind.CLIENT)
    told = client.events[0].attributes or {}
    assert client.status.description == told["exception.message"] == "KeyError('no such kernel')"
    assert told["exception.type"] == "callosum.rpc.exceptions.RPCUserError"
    assert "no such kernel" in str(told["exception.stacktrace"])


async def test_a_secret_in_a_handlers_error_is_not_told(telemetry: Telemetry, agent: tuple[Agent, Peer]) -> None:
    """The caller's message is redacted and bounded like any other."""
    _, peer = agent
    with pytest.raises(RPCUserError):
        await peer.invoke("fail", body(args=["http://storage/upload?token=a-longer-s3cret&" + "x" * 5000]))
    description = telemetry.only(SpanKind.CLIENT).status.description or ""
    assert "token=REDACTED" in description
    assert len(description) <= MAX_ATTRIBUTE_LENGTH


async def test_a_call_that_times_out_fails_on_the_client_only(telemetry: Telemetry, agent: tuple[Agent, Peer]) -> None:
    """The handler goes on after the caller gave up; its span ends when it ends, without error."""
    _, peer = agent
    with pytest.raises(TimeoutError):
        await peer.invoke("sleep", body(), invoke_timeout=0.1)
    client = telemetry.only(SpanKind.CLIENT)
    assert client.attributes is not None
    assert client.status.status_code is StatusCode.ERROR
    assert client.attributes["error.type"] == "TimeoutError"
    await asyncio.sleep(0.8)
    assert telemetry.only(SpanKind.SERVER).status.status_code is StatusCode.UNSET


async def test_a_cancelled_call_is_no_error(telemetry: Telemetry, agent: tuple[Agent, Peer]) -> None:
    """Cancellation passes unchanged and leaves the CLIENT span unset."""
    _, peer = agent
    call = asyncio.create_task(peer.invoke("sleep", body()))
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert telemetry.only(SpanKind.CLIENT).status.status_code is StatusCode.UNSET
    await asyncio.sleep(0.8)


async def test_concurrent_calls_on_one_connection_do_not_mix(telemetry: Telemetry, agent: tuple[Agent, Peer]) -> None:
    """A pooled peer packs in a stranger's task: each body still carries the ID of its own caller."""
    _, peer = agent

    async def call(number: int) -> None:
        with bind_request_id(f"req-{number}"):
            assert (await peer.invoke("whoami", body()))["request_id"] == f"req-{number}"

    await asyncio.gather(*(call(number) for number in range(200)))
    by_span = {span.context.span_id: span for span in telemetry.of_kind(SpanKind.CLIENT) if span.context}
    assert len(by_span) == 200
    for server in telemetry.of_kind(SpanKind.SERVER):
        assert server.parent is not None
        assert server.attributes is not None
        client = by_span[server.parent.span_id]
        assert client.attributes is not None
        assert server.attributes["backendai.request.id"] == client.attributes["backendai.request.id"]


async def test_pings_make_no_span_and_carry_the_id(telemetry: Telemetry, agent: tuple[Agent, Peer]) -> None:
    """The pool's health check is noise."""
    _, peer = agent
    with bind_request_id("req-5"):
        answer = await peer.invoke("ping", body())
    assert answer["request_id"] == "req-5"
    assert not telemetry.spans


@pytest.mark.parametrize("make", [lambda: None, lambda: ["a"], lambda: {"no": "args"}, lambda: "text"])
async def test_other_bodies_pass_untouched(
    telemetry: Telemetry, agent: tuple[Agent, Peer], make: Callable[[], Any]
) -> None:
    """Only a plain dict with `args` is ours."""
    _, peer = agent
    received = await peer.invoke("raw", make())
    assert received == (tuple(make()) if isinstance(make(), list) else make())
    assert not telemetry.of_kind(SpanKind.CLIENT)


async def test_spans_name_the_entities_of_a_call(telemetry: Telemetry, agent: tuple[Agent, Peer]) -> None:
    """Both spans of a call say which kernel and agent it is about while the instrumentor is on."""
    _, peer = agent
    of_kernel = {"args": ["kern-1"], "kwargs": {"agent_id": "i-node1"}}
    instrumentor = RpcInstrumentor()
    instrumentor.instrument(tracer_provider=telemetry.provider)
    try:
        await peer.invoke("get_logs", of_kernel)
        await peer.invoke("get_logs", {"args": [b"raw"], "kwargs": None})
    finally:
        instrumentor.uninstrument()
    rpc.HOP.install(telemetry.provider)
    await peer.invoke("get_logs", of_kernel)
    named = [
        (span.kind, span.attributes.get("backendai.kernel.id"), span.attributes.get("backendai.agent.id"))
        for span in telemetry.spans
        if span.attributes is not None
    ]
    both = (SpanKind.SERVER, SpanKind.CLIENT)
    assert named == [
        *((kind, "kern-1", "i-node1") for kind in both),
        *((kind, None, None) for kind in both),
        *((kind, None, None) for kind in both),
    ]
