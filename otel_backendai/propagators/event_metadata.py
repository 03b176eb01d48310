# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What travels with an event: the sibling field ``otel`` of a message, and the metadata that our API makes.

Never a new key inside Backend.AI's own ``metadata`` JSON: releases 25.12 to 26.8 answer one with a ``TypeError``, and
the message is redelivered until it is dropped. Consumers of every release ignore an unknown *sibling* field.
"""

import json
from collections.abc import Mapping, MutableMapping

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from otel_backendai.guard import Guard
from otel_backendai.names import (
    EVENT_BODIES,
    EVENT_FIELD,
    EVENT_NAME,
    EVENT_SOURCE,
    EVENT_TIMESTAMP,
    METADATA,
    ORIGIN_EVENT,
    REQUEST_ID,
    W3C_FIELDS,
)
from otel_backendai.propagators import w3c

_EXTRACT = Guard("event metadata: extract")
_INJECT = Guard("event metadata: inject")


def is_event_message(fields: object) -> bool:
    """Whether ``fields`` are those of an event of Backend.AI: a name and a body, with text or bytes as keys."""
    if type(fields) is not dict:
        return False
    return w3c.field(fields, EVENT_NAME) is not None and any(
        w3c.field(fields, body) is not None for body in EVENT_BODIES
    )


def is_event_metadata(metadata: object) -> bool:
    """Whether ``metadata`` is that of an application that uses our API (:class:`otel_backendai.api.EventMetadata`)."""
    return type(metadata) is dict and EVENT_SOURCE in metadata and EVENT_TIMESTAMP in metadata


def render_event_field(context: Context | None = None) -> str | None:
    """Return the JSON text of the ``otel`` field for ``context`` (default: current), ``None`` if there is nothing."""
    carried = w3c.carried_from(context)
    return json.dumps(carried, separators=(",", ":")) if carried else None


def with_event_field(fields: dict[object, object], context: Context | None = None) -> dict[object, object]:
    """Return a copy of a message's fields that carries ``context`` in ``otel``.

    ``fields`` itself is returned when they are no event, carry the field already (a message that is queued again
    keeps the context it was made in), or nothing is to be carried.
    """
    if not is_event_message(fields) or w3c.field(fields, EVENT_FIELD) is not None:
        return fields
    carried = render_event_field(context)
    if carried is None:
        return fields
    if EVENT_NAME in fields:
        return {**fields, EVENT_FIELD: carried}
    return {**fields, EVENT_FIELD.encode(): carried.encode()}


def inject_event_metadata(metadata: Mapping[str, object], context: Context | None = None) -> dict[str, object]:
    """Return a copy of an application's own metadata with request ID and W3C fields; what it set itself is kept."""
    return w3c.added_to(metadata, w3c.carried_from(context))


def extract_event(carrier: object, context: Context | None = None) -> Context:
    """Return ``context`` (default: an empty one, never the current one) with what an event carries.

    ``carrier`` is a message's fields or an application's metadata. Field ``otel`` wins over ``metadata`` (of 26.9, or
    of our API), which wins over top-level fields. Never raises, whatever the types.
    """
    found = Context() if context is None else context
    if not isinstance(carrier, Mapping):
        return found
    own = _parse(w3c.field(carrier, EVENT_FIELD))
    metadata = _parse(w3c.field(carrier, METADATA))
    found = w3c.extract((own, metadata, carrier), found)
    return w3c.bind_first(
        (w3c.field(own, REQUEST_ID), w3c.field(metadata, REQUEST_ID), w3c.field(carrier, REQUEST_ID)),
        found,
        ORIGIN_EVENT,
    )


def _parse(value: object) -> Mapping[object, object]:
    """The JSON object in ``value``, or the mapping that it is; empty for all else."""
    if isinstance(value, Mapping):
        return value
    encoded = w3c.text(value)
    if encoded is None:
        return {}
    try:
        decoded = json.loads(encoded)
    except (ValueError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


class EventMetadataPropagator(TextMapPropagator):
    """The same as a propagator: entry point ``backendai_event``, for message fields and for flat metadata.

    Safe beside others in ``OTEL_PROPAGATORS``: a carrier of another shape (HTTP headers) is left alone.
    """

    @property
    def fields(self) -> set[str]:
        """The keys that :meth:`inject` may write: ``otel`` into a message, the others into flat metadata."""
        return {EVENT_FIELD, REQUEST_ID, *W3C_FIELDS}

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Return ``context`` (default: an empty one) with what the event carries; see :func:`extract_event`."""
        found = Context() if context is None else context
        with _EXTRACT:
            if is_event_message(carrier) or is_event_metadata(carrier):
                return extract_event(carrier, found)
        return found

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write into the carrier itself, through ``setter``; a field that is already there stays."""
        with _INJECT:
            if is_event_message(carrier):
                self._add(carrier, with_event_field(carrier, context), setter)  # type: ignore[arg-type]  # is a dict
            elif is_event_metadata(carrier):
                self._add(carrier, inject_event_metadata(carrier, context), setter)  # type: ignore[arg-type]  # ditto

    def _add(self, carrier: CarrierT, sent: Mapping[object, object], setter: Setter[CarrierT]) -> None:
        assert isinstance(carrier, MutableMapping)
        for name, value in sent.items():
            if w3c.text(name) in self.fields and carrier.get(name) is None:
                setter.set(carrier, name, value)  # type: ignore[arg-type]  # bytes keys where the carrier has them
