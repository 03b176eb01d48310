# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Callosum as Backend.AI sets it up: ZeroMQ transport, strict msgpack, and a registry of RPC functions."""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgpack
from callosum.lower.zeromq import ZeroMQAddress, ZeroMQRPCTransport
from callosum.ordering import ExitOrderedAsyncScheduler
from callosum.rpc import Peer, RPCMessage

log = logging.getLogger(__name__)


def pack(body: object) -> bytes:
    """Serialize an RPC body. Raises `TypeError` for subclasses of the plain types, as Backend.AI's does."""
    packed: bytes = msgpack.packb(body, use_bin_type=True, strict_types=True, default=_pack_other)
    return packed


def unpack(packed: bytes) -> object:
    """Deserialize an RPC body; sequences come back as tuples."""
    body: object = msgpack.unpackb(packed, raw=False, use_list=False)
    return body


def _pack_other(value: object) -> list[object]:
    # With strict_types a tuple, such as the `args` of every call, is no list.
    if type(value) is tuple:
        return list(value)
    raise TypeError(f"cannot pack {type(value).__name__}")


class RPCFunctionRegistry:
    """Collects the methods of an agent that are callable over RPC; used as a decorator."""

    def __init__(self) -> None:
        self.functions: set[str] = set()

    def __call__(self, method: Callable[..., Awaitable[Any]]) -> Callable[[Any, RPCMessage], Awaitable[Any]]:
        @functools.wraps(method)
        async def handle(agent: Any, request: RPCMessage) -> Any:
            try:
                if request.body is None:
                    return await method(agent)
                return await method(agent, *request.body["args"], **request.body["kwargs"])
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("RPC function %s failed", method.__name__)
                raise

        self.functions.add(method.__name__)
        return handle


@asynccontextmanager
async def rpc_server(address: str, agent: object, functions: set[str]) -> AsyncIterator[None]:
    """Serve the methods of `agent` named in `functions` on a ZeroMQ address while the context is open."""
    peer = Peer(
        bind=ZeroMQAddress(address),
        transport=ZeroMQRPCTransport,
        scheduler=ExitOrderedAsyncScheduler(),  # type: ignore[no-untyped-call]  # Callosum does not annotate it
        serializer=pack,
        deserializer=unpack,
    )
    for name in functions:
        peer.handle_function(name, getattr(agent, name))
    async with peer:
        yield
