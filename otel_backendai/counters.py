# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Metrics that say where request IDs get lost: how many were minted, by origin, and rejected, by hop."""

from functools import cache

from opentelemetry.metrics import Counter, get_meter

from otel_backendai import __version__
from otel_backendai.names import (
    INSTRUMENTATION_NAME,
    METRIC_ATTRIBUTE_HOP,
    METRIC_ATTRIBUTE_ORIGIN,
    METRIC_MINTED,
    METRIC_REJECTED,
)


@cache
def _counter(name: str, description: str) -> Counter:
    # Made at first use: at import the API's global provider may still be half loaded.
    return get_meter(INSTRUMENTATION_NAME, __version__).create_counter(name, "{request_id}", description)


def count_minted(origin: str) -> None:
    """Count one request ID that this process had to mint because none arrived."""
    _counter(METRIC_MINTED, "Request IDs minted because none arrived").add(1, {METRIC_ATTRIBUTE_ORIGIN: origin})


def count_rejected(hop: str) -> None:
    """Count one inbound request ID that was not acceptable and was treated as absent."""
    _counter(METRIC_REJECTED, "Inbound request IDs that were not acceptable").add(1, {METRIC_ATTRIBUTE_HOP: hop})
