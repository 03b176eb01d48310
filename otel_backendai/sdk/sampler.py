# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Sampling by request ID: all traces of one request are kept or dropped together, in every process, uncoordinated.

OTEL_TRACES_SAMPLER=backendai_request_id_ratio OTEL_TRACES_SAMPLER_ARG=0.1
"""

import hashlib
import logging
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from otel_backendai import request_id

_logger = logging.getLogger(__name__)


class RequestIdRatio(Sampler):
    """Keeps the given share of request IDs; a root span without one is sampled by its trace ID.

    Args:
        ratio: 0.0 (none) to 1.0 (all).

    Raises:
        ValueError: ``ratio`` is outside of that range.
    """

    def __init__(self, ratio: float) -> None:
        if not 0.0 <= ratio <= 1.0:
            raise ValueError(f"the sampling ratio must be between 0 and 1, not {ratio}")
        self._ratio = ratio
        self._bound = round(ratio * 2**64)
        self._by_trace_id = TraceIdRatioBased(ratio)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide by the request ID in ``parent_context`` (default: the current context)."""
        value = request_id.read(parent_context)
        if value is None:
            return self._by_trace_id.should_sample(parent_context, trace_id, name, kind, attributes, links)
        kept = int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest(), "big") < self._bound
        parent = get_current_span(parent_context).get_span_context()
        return SamplingResult(
            Decision.RECORD_AND_SAMPLE if kept else Decision.DROP,
            attributes if kept else None,
            parent.trace_state if parent.is_valid else None,
        )

    def get_description(self) -> str:
        """Return the sampler's name with its ratio."""
        return f"BackendAIRequestIdRatio{{{self._ratio}}}"


def request_id_ratio(argument: str | None) -> Sampler:
    """Entry point ``backendai_request_id_ratio``: parent-based, roots by request ID.

    Args:
        argument: ``OTEL_TRACES_SAMPLER_ARG``; everything is kept when it is absent or no number from 0 to 1.
    """
    try:
        ratio = RequestIdRatio(float(argument) if argument else 1.0)
    except ValueError:
        _logger.warning("OTEL_TRACES_SAMPLER_ARG is no number from 0 to 1: keeping every request")
        ratio = RequestIdRatio(1.0)
    return ParentBased(ratio)
