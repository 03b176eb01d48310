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

# Events of timers, by their names in Backend.AI 23.09 to 26.9: heartbeats, ticks of schedulers and checkers, which are
# sent whether there is something to do or not. What a tick finds to do makes its own spans.
NOISE_EVENTS = frozenset(
    {
        "agent_heartbeat",
        "agent_status_heartbeat",
        "kernel_heartbeat",
        "service_registered",
        "do_check_precond",
        "do_check_unused_port",
        "do_check_worker_lost",
        "do_deployment_lifecycle",
        "do_deployment_lifecycle_if_needed",
        "do_health_check",
        "do_idle_check",
        "do_log_cleanup",
        "do_prepare",
        "do_reconcile_process",
        "do_reconcile_process_if_needed",
        "do_reconcile_traefik_routes",
        "do_route_lifecycle",
        "do_route_lifecycle_if_needed",
        "do_scale",
        "do_scan_reservoir_registry",
        "do_schedule",
        "do_sokovan_process_if_needed",
        "do_sokovan_process_schedule",
        "do_start_session",
        "do_sweep_stale_services",
        "do_update_session_status",
    }
)


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


def is_noise_event(name: str) -> bool:
    """Whether an event of this name makes no spans; it still carries a request ID."""
    return name in NOISE_EVENTS
