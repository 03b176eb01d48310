# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""RPC over Callosum: a CLIENT span around ``Peer.invoke``, a SERVER span around the handler at the other end.

Handlers run in the context of process start-up (the receive loop's), so what a body carries *replaces* that context.
The context is put into the body in ``invoke``, never in a serializer: a pooled peer packs in a stranger's context.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.trace import Link, SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

from otel_backendai.guard import Guard
from otel_backendai.hops import deferred, noise
from otel_backendai.hops.span_scope import SpanScope, with_request_id
from otel_backendai.names import ORIGIN_RPC, RPC_METHOD, RPC_SYSTEM_CALLOSUM, RPC_SYSTEM_NAME
from otel_backendai.patching import Hop
from otel_backendai.propagators.rpc_body import extract_rpc_body, inject_rpc_body, is_rpc_body, rpc_arguments

HOP = Hop("rpc")

EntitiesOf = Callable[[str, Sequence[object], Mapping[object, object]], Mapping[str, str]]
# Span attributes of a call by method, arguments and keywords: what they mean, the releases know, and set this.
entities_of: EntitiesOf | None = None

_INVOKE = Guard("rpc: invoke")
_SERVE = Guard("rpc: serve")


@HOP.wraps("callosum.rpc.channel", "Peer.invoke")
def _wrap_invoke(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    async def invoke(self: Any, method: str, body: Any, **kwargs: Any) -> Any:
        if not HOP.active or not is_rpc_body(body):
            return await original(self, method, body, **kwargs)
        context = context_api.get_current()
        attributes: dict[str, AttributeValue] = {}
        links: list[Link] = []
        with _INVOKE:
            entities = _entities(method, body)
            attributes = {**_client_attributes(self, method), **entities}
            context, links = deferred.continued(context, entities)
        with SpanScope(_tracer_for(method), method, SpanKind.CLIENT, context, attributes, links) as scope:
            sent = body
            with _INVOKE:
                sent = inject_rpc_body(body)
            try:
                return await original(self, method, sent, **kwargs)
            except Exception as error:
                with _INVOKE:
                    scope.fail(error, *_told_by_peer(error))
                raise

    return invoke


@HOP.wraps("callosum.rpc.channel", "Peer._func_task")
def _wrap_func_task(original: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    async def _func_task(self: Any, server_request_id: Any, request: Any, handler: Any) -> None:
        if HOP.active:
            handler = _served(handler)
        await original(self, server_request_id, request, handler)

    return _func_task


def _served(handler: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    async def serve(request: Any) -> Any:
        context, attributes, method = Context(), {}, "_OTHER"
        with _SERVE:
            context, origin = with_request_id(extract_rpc_body(request.body), ORIGIN_RPC)
            method = request.method
            attributes = {RPC_SYSTEM_NAME: RPC_SYSTEM_CALLOSUM, RPC_METHOD: method, **origin}
            attributes.update(_entities(method, request.body))
        quiet = noise.is_noise_method(method)
        with SpanScope(HOP.tracer, method, SpanKind.SERVER, context, attributes, quiet=quiet):
            return await handler(request)

    return serve


def _told_by_peer(error: Exception) -> tuple[str | None, str | None]:
    """The type and the message of an error that the handler raised; nothing when it is none of the handler's.

    The class of the handler's exception says more than Callosum's ``RPCUserError`` around it, whose text has the
    handler's whole traceback besides; that stays in the stack trace.
    """
    name, text, trace = (getattr(error, field, None) for field in ("name", "repr", "traceback"))
    if isinstance(name, str) and isinstance(text, str) and isinstance(trace, str):
        return name, text if text.startswith(name) else f"{name}: {text}"
    return None, None


def _tracer_for(method: str) -> Tracer | None:
    return None if noise.is_noise_method(method) else HOP.tracer


def _entities(method: str, body: object) -> Mapping[str, str]:
    return {} if entities_of is None else entities_of(method, *rpc_arguments(body))


def _client_attributes(peer: Any, method: str) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {RPC_SYSTEM_NAME: RPC_SYSTEM_CALLOSUM, RPC_METHOD: method}
    uri = getattr(getattr(peer, "_connect", None), "uri", None)
    if type(uri) is str:
        # tcp://HOST:PORT, or ipc://PATH without a port.
        address, _, port = uri.partition("://")[2].rpartition(":")
        if address and port.isdecimal():
            attributes[SERVER_ADDRESS] = address
            attributes[SERVER_PORT] = int(port)
    return attributes
