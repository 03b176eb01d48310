# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The manager's side of the agent RPC: one long-lived peer per agent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from callosum.lower.zeromq import ZeroMQAddress, ZeroMQRPCTransport
from callosum.rpc import Peer

from .rpc import pack, unpack

INVOKE_TIMEOUT = 30.0
# Below ZeroMQ's default high-water mark of 1,000, above which a ROUTER socket drops replies.
MAX_CALLS = 64


class PeerInvoker(Peer):
    """A peer whose `call` attribute has the remote functions as methods: `await invoker.call.ping("x")`."""

    class _CallStub:
        def __init__(self, peer: Peer) -> None:
            self._peer = peer
            self._slots = asyncio.Semaphore(MAX_CALLS)

        def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
            async def invoke(*args: object, **kwargs: object) -> Any:
                request_body = {"args": args, "kwargs": kwargs}
                async with self._slots:
                    return await self._peer.invoke(method, request_body, invoke_timeout=INVOKE_TIMEOUT)

            return invoke

    def __init__(self, address: str) -> None:
        super().__init__(
            connect=ZeroMQAddress(address),
            transport=ZeroMQRPCTransport,
            serializer=pack,
            deserializer=unpack,
        )
        self.call = self._CallStub(self)


@asynccontextmanager
async def agent_pool(addresses: Mapping[str, str]) -> AsyncIterator[dict[str, PeerInvoker]]:
    """Connect to every agent of `addresses` (name to ZeroMQ address); yields the peers by name.

    An agent that is not up yet gets what is sent to it as soon as it is.
    """
    peers = {name: PeerInvoker(address) for name, address in addresses.items()}
    async with AsyncExitStack() as stack:
        for peer in peers.values():
            await stack.enter_async_context(peer)
        yield peers
