# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The W3C part of a carrier of ours, read strictly and written plainly.

RPC bodies and events always carry the W3C fields, whatever ``OTEL_PROPAGATORS`` says for HTTP: their names are a
contract between processes of one cluster (design, section 3).
"""

from collections.abc import Mapping

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_backendai import request_id
from otel_backendai.counters import count_rejected

# Twice what W3C asks every platform to propagate (8192 bytes of baggage); more than that is not ours to parse.
MAX_FIELD_LENGTH = 16_384

_TRACE_CONTEXT = TraceContextTextMapPropagator()
_BAGGAGE = W3CBaggagePropagator()


def text(value: object) -> str | None:
    """Return ``value`` as an exact ``str``: itself, or decoded UTF-8; ``None`` for all else and if it is too long."""
    if type(value) is bytes and len(value) <= MAX_FIELD_LENGTH:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    if type(value) is str and len(value) <= MAX_FIELD_LENGTH:
        return value
    return None


def field(carrier: Mapping[object, object], name: str) -> object:
    """Return the raw value under ``name``, whether the carrier's keys are text or bytes; ``None`` when absent."""
    value = carrier.get(name)
    return carrier.get(name.encode()) if value is None else value


class _StrictGetter(Getter[Mapping[object, object]]):
    """Only text passes: the stock propagators raise on anything else."""

    def get(self, carrier: Mapping[object, object], key: str) -> list[str] | None:
        value = text(field(carrier, key))
        return None if value is None else [value]

    def keys(self, carrier: Mapping[object, object]) -> list[str]:
        return [name for name in map(text, carrier) if name is not None]


STRICT_GETTER = _StrictGetter()


def extract(carrier: object, context: Context) -> Context:
    """Return ``context`` with the span context and baggage of ``carrier``; ``context`` itself when there is nothing."""
    if not isinstance(carrier, Mapping):
        return context
    context = _TRACE_CONTEXT.extract(carrier, context, STRICT_GETTER)
    return _BAGGAGE.extract(carrier, context, STRICT_GETTER)


def inject(carrier: dict[str, str], context: Context | None) -> None:
    """Write ``traceparent``, ``tracestate``, ``baggage`` of ``context`` into ``carrier``, as far as there are any."""
    _TRACE_CONTEXT.inject(carrier, context)
    _BAGGAGE.inject(carrier, context)


def bind_first(candidates: tuple[object, ...], context: Context, hop: str) -> Context:
    """Bind the first acceptable candidate, else keep an acceptable ID from baggage, else leave none.

    Every candidate that is present but not acceptable is counted for ``hop`` and otherwise ignored.
    """
    for candidate in candidates:
        if candidate is None:
            continue
        value = text(candidate)
        if request_id.is_acceptable(value):
            return request_id.bind(value, context)
        count_rejected(hop)
    return context if request_id.read(context) else request_id.unbind(context)
