# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The global propagator while HTTP out is active: what an outbound call may carry is decided by its destination."""

from dataclasses import dataclass

from opentelemetry import context as context_api
from opentelemetry.context import Context, create_key
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import Span, SpanKind, get_current_span

from otel_backendai import request_id
from otel_backendai.guard import Guard
from otel_backendai.propagators.http_headers import HttpHeadersPropagator

_INJECT = Guard("global propagator: inject")
_EXTRACT = Guard("global propagator: extract")


@dataclass(frozen=True, slots=True)
class Outbound:
    """One outbound HTTP call: whether it goes to a peer, and which header names (lower case) the application set."""

    to_peer: bool
    set_by_application: frozenset[str] = frozenset()


TO_THIRD_PARTY = Outbound(to_peer=False)
TO_PEER = Outbound(to_peer=True)

_OUTBOUND = create_key("otel-backendai-outbound")


def with_outbound(outbound: Outbound, context: Context | None = None) -> Context:
    """Return ``context`` (default: current) marked as that of one outbound call."""
    return context_api.set_value(_OUTBOUND, outbound, context)


def current_outbound(context: Context | None = None) -> Outbound | None:
    """Return the outbound call that is being made in ``context`` (default: current), ``None`` outside of one."""
    value = context_api.get_value(_OUTBOUND, context)
    return value if isinstance(value, Outbound) else None


class PeersOnlyPropagator(TextMapPropagator):
    """Wraps the user's global propagator, adds ours, and withholds everything from third parties.

    Outside an outbound call of aiohttp :meth:`inject` is the user's, so that other instrumentations (a message queue's)
    see no difference. Only below a CLIENT span, that of another HTTP library, our own baggage entry is left out: where
    that call goes is not known.

    Args:
        wrapped: The global propagator as the user configured it.
    """

    def __init__(self, wrapped: TextMapPropagator) -> None:
        self.wrapped = wrapped
        self._ours = HttpHeadersPropagator()
        self._adds_ours = not self._ours.fields <= set(wrapped.fields)

    @property
    def fields(self) -> set[str]:
        """The user's fields and ours."""
        return set(self.wrapped.fields) | self._ours.fields

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Return what the user's propagator extracts, or ``context`` (default: an empty one) when it raises."""
        found = Context() if context is None else context
        with _EXTRACT:
            # An empty composite (OTEL_PROPAGATORS=none) returns its context argument, None included.
            found = self.wrapped.extract(carrier, found, getter) or found
        return found

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write nothing for a third party, all but what the application set for a peer, the user's fields elsewhere."""
        outbound = current_outbound(context)
        if outbound is None:
            if _may_be_a_call(get_current_span(context)):
                context = request_id.unbind(context_api.get_current() if context is None else context)
        elif not outbound.to_peer:
            return
        if outbound is not None and outbound.set_by_application:
            setter = _PoliteSetter(setter, outbound.set_by_application)
        # Guarded although it is the user's: contrib's HTTP client lets what inject raises into the request.
        with _INJECT:
            self.wrapped.inject(carrier, context, setter)
        if outbound is not None and self._adds_ours:
            self._ours.inject(carrier, context, setter)


def _may_be_a_call(span: Span) -> bool:
    """Whether ``span`` is that of a call, or one of ours that is not sampled, and so does not say what it is."""
    if getattr(span, "kind", None) is SpanKind.CLIENT:
        return True
    span_context = span.get_span_context()
    return span_context.is_valid and not span_context.is_remote and not span.is_recording()


class _PoliteSetter(Setter[CarrierT]):
    def __init__(self, setter: Setter[CarrierT], keep: frozenset[str]) -> None:
        self._setter = setter
        self._keep = keep

    def set(self, carrier: CarrierT, key: str, value: str) -> None:
        if key.lower() not in self._keep:
            self._setter.set(carrier, key, value)
