# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What makes no spans by default: probes, scrapes, heartbeats, timers. Their requests still carry a request ID.

``OTEL_BACKENDAI_NOISE`` changes it: ``NAME`` is noise in addition, ``-NAME`` is none, ``none`` alone: nothing is noise.
A name is a path, an RPC method, an event, or a background run (the name that its span would have).
"""

import os
from functools import cache
from typing import Any

from opentelemetry.util.http import get_excluded_urls

from otel_backendai.names import SETTING_NOISE

# Paths of the health, readiness and metrics endpoints of Backend.AI 23.09 to 26.9, all components.
NOISE_PATHS = frozenset(
    {
        "/health",
        "/health/livez",
        "/health/readyz",
        "/healthz",
        "/livez",
        "/metrics",
        "/metrics/service_discovery",
        "/readyz",
        "/status",
    }
)

# How probes and scrapers ask; what else comes to these paths is work.
_ASKING = frozenset({"GET", "HEAD"})

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
        "do_pull_reservoir_registry",
        "do_recalculate_usage",
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
        "do_sync_route_info_to_appproxy",
        "do_update_session_status",
    }
)

# What Backend.AI 23.09 to 26.4 runs by aiotools' timers, every 1 to 60 s, in agent, manager and app-proxy worker. The
# last part of the qualified name: backends of the agent and plug-ins override these methods.
NOISE_TIMERS = frozenset(
    {
        "_active_circuit_writer",
        "_check_agent_lost",
        "_cleanup_reported_kernels",
        "_collect_node_stat",
        "_force_terminate_hanging_sessions",
        "_observe_stat_task",
        "_heartbeat",
        "_last_access_marker_task",
        "_last_used_time_marker_writer",
        "_last_used_time_marker_writer_experimental",
        "_last_used_time_marker_writer_redispy",
        "_report_all_kernel_commit_status_map",
        "_report_stats",
        "_scan_images_wrapper",
        "_sweep",
        "_update_slots",
        "check_agent_lost",
        "collect_container_stat",
        "collect_inference_metric",
        "collect_node_stat",
        "collect_process_stat",
        "heartbeat",
        "report_stats",
        "sync_container_lifecycles",
        "update_slots",
        "update_slots_periodically",
    }
)

NONE = "none"


@cache
def _excluded() -> object:
    # OTEL_PYTHON_BACKENDAI_EXCLUDED_URLS, else OTEL_PYTHON_EXCLUDED_URLS: comma separated regular expressions.
    return get_excluded_urls("BACKENDAI")


@cache
def _configured() -> tuple[frozenset[str], frozenset[str], bool]:
    return parse_noise(os.environ.get(SETTING_NOISE, ""))


def parse_noise(setting: str) -> tuple[frozenset[str], frozenset[str], bool]:
    """Return the names that ``OTEL_BACKENDAI_NOISE`` makes noise, those that it excepts, and whether it says ``none``.

    Args:
        setting: Comma separated names; blanks around them do not matter, case does.
    """
    entries = [entry.strip() for entry in setting.split(",") if entry.strip()]
    added = frozenset(entry for entry in entries if not entry.startswith("-") and entry != NONE)
    return added, frozenset(entry[1:].strip() for entry in entries if entry.startswith("-")), NONE in entries


def is_noise(name: str, default: bool) -> bool:
    """Whether what is called ``name`` makes no spans; ``default`` when the setting does not say."""
    added, excepted, nothing = _configured()
    if name in added:
        return True
    return default and not nothing and name not in excepted


def is_noise_path(path: str, method: str = "GET") -> bool:
    """Whether a request to ``path`` makes no SERVER span; by default only one that asks, by the settings any."""
    excluded: Any = _excluded()
    return is_noise(path, path in NOISE_PATHS and method in _ASKING) or bool(excluded.url_disabled(path))


def is_noise_method(method: str) -> bool:
    """Whether an RPC of ``method`` makes no span."""
    return is_noise(method, method in NOISE_RPC_METHODS)


def is_noise_timer(name: str) -> bool:
    """Whether a timer with the callback ``name`` (qualified) runs without a span unless there is something to do."""
    last = name.rpartition(".")[2]
    # What a decorator made without taking the name over is known by the decorator: 25.15's collectors of statistics.
    decorator, made, _ = name.partition(".<locals>.")
    return is_noise(name, is_noise(last, last in NOISE_TIMERS or (bool(made) and decorator in NOISE_TIMERS)))


def is_noise_event(name: str) -> bool:
    """Whether an event of this name makes no spans; it still carries a request ID."""
    return is_noise(name, name in NOISE_EVENTS)
