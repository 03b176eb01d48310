# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The W3C part of a carrier of ours, read strictly and written plainly.

RPC bodies and events always carry the W3C fields, whatever ``OTEL_PROPAGATORS`` says for HTTP: their names are a
contract between processes of one cluster (docs/architecture.md, section 2).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_backendai import request_id
from otel_backendai.counters import count_rejected
from otel_backendai.names import BAGGAGE, REQUEST_ID, TRACEPARENT, TRACESTATE

# Twice what W3C asks every platform to propagate (8192 bytes of baggage); more than that is not ours to parse.
MAX_FIELD_LENGTH = 16_384
# The limits of the W3C grammar, which OpenTelemetry's own propagator applies too: quoting what is beyond them.
MAX_BAGGAGE_MEMBERS = 180
MAX_BAGGAGE_LENGTH = 8192
MAX_BAGGAGE_MEMBER_LENGTH = 4096
# What W3C asks everybody to propagate; the newest OpenTelemetry takes no more.
MAX_TRACE_STATE_LENGTH = 512
MAX_TRACE_STATE_MEMBERS = 32

_TRACE_CONTEXT = TraceContextTextMapPropagator()
_BAGGAGE = W3CBaggagePropagator()

# list-member of W3C trace context, level 1: a key, maybe of a tenant at a system, and a value of 256 characters.
_trace_state_member = re.compile(
    r"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
).fullmatch
_printable = re.compile(r"[\x20-\x7e]*").fullmatch
# key = value, each without what W3C excludes, and properties that we do not need.
_baggage_member = re.compile(
    r"\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*=\s*([\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*)\s*(?:;.*)?"
).fullmatch


def text(value: object) -> str | None:
    """Return ``value`` as an exact ``str``: itself, or decoded UTF-8; ``None`` for all else and if it is too long.

    Lone surrogates count as all else: they come out of hostile JSON, and no exporter can encode them.
    """
    if type(value) is bytes and len(value) <= MAX_FIELD_LENGTH:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    if type(value) is str and len(value) <= MAX_FIELD_LENGTH:
        if value.isascii():
            return value
        try:
            value.encode()
        except UnicodeEncodeError:
            return None
        return value
    return None


def field(carrier: Mapping[object, object], name: str) -> object:
    """Return the raw value under ``name``, whether the carrier's keys are text or bytes; ``None`` when absent."""
    try:
        value = carrier.get(name)
        return carrier.get(name.encode()) if value is None else value
    except Exception:
        # A mapping of somebody else's making, whose methods raise: hostile, so absent.
        return None


class _StrictGetter(Getter[Mapping[object, object]]):
    """Only printable ASCII passes: the stock propagators raise on other types and log what they cannot parse."""

    def get(self, carrier: Mapping[object, object], key: str) -> list[str] | None:
        value = text(field(carrier, key))
        if value is None or _printable(value) is None or (key == TRACESTATE and not is_trace_state(value)):
            return None
        return [value]

    def keys(self, carrier: Mapping[object, object]) -> list[str]:
        return [name for name in map(text, carrier) if name is not None]


STRICT_GETTER = _StrictGetter()


def extract(carriers: tuple[Mapping[object, object], ...], context: Context) -> Context:
    """Return ``context`` with the span context and the baggage of ``carriers``; itself when there is nothing.

    Each of the two comes from the first carrier that has a valid one, a trace state only with its trace parent.
    """
    found = context
    for carrier in carriers:
        found = _TRACE_CONTEXT.extract(carrier, context, STRICT_GETTER)
        if found is not context:
            break
    for carrier in carriers:
        members = dict(_baggage_members(carrier))
        if members:
            for name, value in members.items():
                found = baggage.set_baggage(name, value, found)
            break
    return found


def is_trace_state(value: str) -> bool:
    """Whether ``value`` is well-formed, names nobody twice and is not too long; the stock propagator quotes what is not
    in the log."""
    if len(value) > MAX_TRACE_STATE_LENGTH or value != value.strip(" \t"):
        return False
    members = [_trace_state_member(member.strip(" \t")) for member in value.split(",") if member.strip(" \t")]
    keys = {member[1] for member in members if member is not None}
    return len(keys) == len(members) <= MAX_TRACE_STATE_MEMBERS


def well_formed_baggage(value: str, only: str | None = None) -> str:
    """Return the members of ``value`` that are well-formed, without their properties, as far as the limits allow.

    The stock propagator quotes all others in the log, word by word.

    Args:
        value: The text of the header.
        only: The name of the one member that is wanted; ``None``: all.
    """
    kept, length = [], -1
    for match in _matches(value):
        member = f"{match[1]}={match[2]}"
        if (only is None or match[1] == only) and len(member) <= MAX_BAGGAGE_MEMBER_LENGTH:
            length += 1 + len(member)
            if length > MAX_BAGGAGE_LENGTH:
                break
            kept.append(member)
    return ",".join(kept)


def _baggage_members(carrier: Mapping[object, object]) -> Iterator[tuple[str, str]]:
    # Our own reading: the stock one logs what it cannot parse, and who sends it here is not to be trusted.
    for match in _matches((STRICT_GETTER.get(carrier, BAGGAGE) or [""])[0]):
        yield unquote_plus(match[1]), unquote_plus(match[2])


def _matches(header: str) -> list[re.Match[str]]:
    members = header[:MAX_FIELD_LENGTH].split(",", MAX_BAGGAGE_MEMBERS)[:MAX_BAGGAGE_MEMBERS]
    return [match for match in map(_baggage_member, members) if match is not None]


def inject(carrier: dict[str, str], context: Context | None) -> None:
    """Write ``traceparent``, ``tracestate``, ``baggage`` of ``context`` into ``carrier``, as far as there are any."""
    _TRACE_CONTEXT.inject(carrier, context)
    try:
        _BAGGAGE.inject(carrier, context)
    except Exception:
        # A baggage value is any object of the application's; one without a text costs the baggage, not the rest.
        carrier.pop(BAGGAGE, None)


def carried_from(context: Context | None) -> dict[str, str]:
    """Return what a carrier of ours takes from ``context`` (default: current): request ID and W3C fields, if any."""
    carried: dict[str, str] = {}
    current = request_id.read(context)
    if current is not None:
        carried[REQUEST_ID] = current
    inject(carried, context)
    return carried


def added_to(own: Mapping[Any, Any], carried: dict[str, str]) -> dict[Any, Any]:
    """Return a copy of ``own`` with ``carried`` where ``own`` has nothing (absent or ``None``).

    Where the application named a trace itself, none of our trace context goes beside it.
    """
    if field(own, TRACEPARENT) is not None:
        carried = {name: value for name, value in carried.items() if name not in _TRACE_CONTEXT.fields}
    return {**own, **{name: value for name, value in carried.items() if own.get(name) is None}}


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
    if request_id.read(context) is not None:
        return context
    unbound = request_id.unbind(context)
    if unbound is not context:
        count_rejected(hop)
    return unbound
