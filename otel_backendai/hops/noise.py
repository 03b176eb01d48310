# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What makes no spans by default: probes, scrapes, heartbeats. Their requests still carry and answer a request ID."""

from functools import cache

from opentelemetry.util.http import get_excluded_urls

# Paths of the health, readiness and metrics endpoints of Backend.AI 23.09 to 26.9, all components.
NOISE_PATHS = frozenset(
    {"/health", "/healthz", "/livez", "/readyz", "/metrics", "/metrics/service_discovery", "/status"}
)

# The agent pool's health check, sent to each agent every few seconds.
NOISE_RPC_METHODS = frozenset({"ping"})


@cache
def _excluded() -> object:
    # OTEL_PYTHON_BACKENDAI_EXCLUDED_URLS, else OTEL_PYTHON_EXCLUDED_URLS: comma separated regular expressions.
    return get_excluded_urls("BACKENDAI")


def is_noise_path(path: str) -> bool:
    """Whether a request to ``path`` makes no SERVER span."""
    return path in NOISE_PATHS or _excluded().url_disabled(path)  # type: ignore[attr-defined]  # untyped package


def is_noise_method(method: str) -> bool:
    """Whether an RPC of ``method`` makes no span."""
    return method in NOISE_RPC_METHODS
