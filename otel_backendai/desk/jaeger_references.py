# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A span's references in Jaeger's model: its parent first, then its links.

The Collector's ``traces_to_jaegerproto.go`` makes them, Jaeger's ``model.Span.ParentSpanID`` and
``adjuster/parent_reference.go`` say which of them is the parent.
"""

from typing import NamedTuple

from otel_backendai.desk.model import Attributes, Span

_REF_TYPE = "opentracing.ref_type"
_CHILD_OF = "CHILD_OF"
_FOLLOWS_FROM = "FOLLOWS_FROM"


class Reference(NamedTuple):
    """One reference; ``trace_id`` is "" where a link leads nowhere, which Jaeger removes with a warning."""

    kind: str
    trace_id: str
    span_id: str


def references(span: Span) -> list[Reference]:
    """All references of ``span``, also those that lead nowhere; the one to its parent is the first."""
    parent = (span.trace_id, span.parent_span_id) if span.parent_span_id else None
    parent_kind = _CHILD_OF
    found: list[Reference] = []
    for link in span.links:
        if (link.trace_id, link.span_id) == parent:
            # A link to the parent is no second reference, it only says of which type the first one is.
            parent_kind = _kind(link.attributes)
        else:
            found.append(Reference(_kind(link.attributes), link.trace_id, link.span_id))
    if parent:
        found.insert(0, Reference(parent_kind, *parent))
    first = _parent_index(span, found)
    if first > 0:
        found[0], found[first] = found[first], found[0]
    return found


def parent_span_id(span: Span) -> str:
    """The span below which Jaeger puts ``span``: also a link into the same trace makes one. "" when there is none."""
    found = references(span)
    return found[0].span_id if _parent_index(span, found) == 0 else ""


def _parent_index(span: Span, found: list[Reference]) -> int:
    """Where the first CHILD_OF of the span's own trace is, or else the first reference into it; -1 without one."""
    inside = [index for index, reference in enumerate(found) if reference.trace_id == span.trace_id]
    return next((index for index in inside if found[index].kind == _CHILD_OF), inside[0] if inside else -1)


def _kind(attributes: Attributes) -> str:
    return _CHILD_OF if attributes.get(_REF_TYPE) == "child_of" else _FOLLOWS_FROM
