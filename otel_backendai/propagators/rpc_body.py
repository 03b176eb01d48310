# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What travels in a Callosum RPC body. Nothing else in the package knows its layout.

A body is ``{"args": [...], "kwargs": {...}}``. We add ``headers`` (V3) and a top-level ``request_id`` (V2); where
the application has its own ``metadata`` (Backend.AI 26.9), its ``request_id`` and ``traceparent`` are made true.
Backend.AI packs with ``strict_types``: a subclass of ``str`` or ``dict`` makes the message vanish in the send loop
and the caller wait for ever, so only exact types go out.
"""

from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from otel_backendai import request_id
from otel_backendai.counters import count_rejected
from otel_backendai.guard import Guard
from otel_backendai.names import METADATA, ORIGIN_RPC, REQUEST_ID, RPC_ARGS, RPC_HEADERS, RPC_KWARGS, TRACEPARENT
from otel_backendai.propagators import w3c

_EXTRACT = Guard("rpc body: extract")
_INJECT = Guard("rpc body: inject")


def is_rpc_body(body: object) -> bool:
    """Whether ``body`` is a plain dict with ``args``; all else (``None``, adaptors, other protocols) is left alone."""
    return type(body) is dict and RPC_ARGS in body


def rpc_arguments(body: object) -> tuple[Sequence[object], Mapping[object, object]]:
    """The positional and the keyword arguments in ``body``; empty ones when it has none."""
    if not isinstance(body, Mapping):
        return (), {}
    positional = body.get(RPC_ARGS)
    return positional if isinstance(positional, (list, tuple)) else (), _mapping(body.get(RPC_KWARGS))


def inject_rpc_body(body: object, context: Context | None = None) -> object:
    """Return a copy of ``body`` that carries request ID and trace of ``context`` (default: the current one).

    The caller's object is never changed. ``body`` itself is returned when it is no RPC body or there is nothing to
    change. Header names that the application set itself are kept; in its ``metadata`` the two fields that name the
    request and the trace are replaced, because they name the span *around* the call, and a request ID that is not
    acceptable is taken out: a lone surrogate there makes the message vanish, too.
    """
    if not is_rpc_body(body):
        return body
    assert isinstance(body, dict)
    # str(x) of an exact str is itself; anything else (a propagator's str subclass) becomes exact.
    carried = {str(name): str(value) for name, value in w3c.carried_from(context).items()}
    metadata = body.get(METADATA)
    own = _clean(metadata) if type(metadata) is dict else metadata
    if not carried and own is metadata:
        return body
    sent = dict(body)
    own_headers = body.get(RPC_HEADERS)
    if type(own_headers) is dict:
        sent[RPC_HEADERS] = w3c.added_to(own_headers, carried)
    elif own_headers is None and carried:
        sent[RPC_HEADERS] = carried
    if REQUEST_ID in carried and sent.get(REQUEST_ID) is None:
        sent[REQUEST_ID] = carried[REQUEST_ID]
    if type(own) is dict:
        true_fields = {name: carried[name] for name in (REQUEST_ID, TRACEPARENT) if name in carried and name in own}
        sent[METADATA] = {**own, **true_fields}
    return sent


def _clean(metadata: dict[object, object]) -> dict[object, object]:
    """``metadata`` itself, or a copy without the request ID that it had; ``None`` there is the application's own."""
    found = metadata.get(REQUEST_ID)
    if found is None or request_id.is_acceptable(found):
        return metadata
    count_rejected(ORIGIN_RPC)
    return {**metadata, REQUEST_ID: None}


def extract_rpc_body(body: object, context: Context | None = None) -> Context:
    """Return ``context`` (default: an empty one, never the current one) with what ``body`` carries.

    Source of the request ID, first acceptable wins: ``headers``, ``metadata``, top level, baggage. Source of the
    trace: ``headers``, else ``metadata`` (a 26.9 peer without the plugin). Never raises, whatever the types.
    """
    found = Context() if context is None else context
    if not isinstance(body, Mapping):
        return found
    headers, metadata = (_mapping(w3c.field(body, name)) for name in (RPC_HEADERS, METADATA))
    found = w3c.extract((headers, metadata), found)
    return w3c.bind_first(
        (w3c.field(headers, REQUEST_ID), w3c.field(metadata, REQUEST_ID), w3c.field(body, REQUEST_ID)),
        found,
        ORIGIN_RPC,
    )


def _mapping(value: object) -> Mapping[object, object]:
    return value if isinstance(value, Mapping) else {}


class RpcBodyPropagator(TextMapPropagator):
    """The same as a propagator: entry point ``backendai_rpc``, for carriers that are RPC bodies.

    Safe beside others in ``OTEL_PROPAGATORS``: a carrier of another shape (HTTP headers) is left alone.
    """

    @property
    def fields(self) -> set[str]:
        """The keys that :meth:`inject` may write into a body."""
        return {RPC_HEADERS, REQUEST_ID}

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Return ``context`` (default: an empty one) with what the body carries; see :func:`extract_rpc_body`."""
        found = Context() if context is None else context
        with _EXTRACT:
            if is_rpc_body(carrier):
                return extract_rpc_body(carrier, found)
        return found

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write into the body itself, through ``setter``; see :func:`inject_rpc_body` for one that copies."""
        with _INJECT:
            sent = inject_rpc_body(carrier, context)
            if sent is carrier or not isinstance(sent, dict):
                return
            for name in (RPC_HEADERS, REQUEST_ID):
                if name in sent:
                    setter.set(carrier, name, sent[name])
