# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What Backend.AI runs on timers, 25.15 to 26.9: crons, observers, health checks. (Up to 25.15: aiotools' timers.)

Each run has its own request ID and belongs to nothing: crons and observers are started by whatever request happens to
come first. What runs once a minute or more often is noise, see :class:`otel_backendai.hops.quiet_span.QuietSpan`.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry.context import Context

from otel_backendai.guard import Guard
from otel_backendai.hops import noise
from otel_backendai.hops.background import HOP, function_name, run_scope
from otel_backendai.hops.span_errors import clean_text
from otel_backendai.hops.span_scope import SpanScope

# Seconds. Heartbeats, statistics and scheduler ticks of 26.9 run once a minute or more often, sweeps and reports less.
NOISE_INTERVAL = 60.0
# These look every five minutes for something to do, which makes spans of its own.
_LOOKING = frozenset({"bgtask_retry", "orphan_kernel_cleanup"})

_NAME = Guard("background: name of a run")


@HOP.wraps("ai.backend.common.leader.tasks.leader_cron", "LeaderCron._run_task")
@HOP.wraps("ai.backend.common.cron.local_cron", "LocalCron._run_task")
def _wrap_run_task(original: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    # The loop never ends, so what it runs is replaced: `await task.run()`, maybe below a time-out.
    @functools.wraps(original)
    async def _run_task(self: Any, task: Any) -> None:
        await original(self, _PeriodicTask(task))

    return _run_task


@HOP.wraps("ai.backend.common.runner.types", "Runner._run_observer")
def _wrap_run_observer(original: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def _run_observer(self: Any, observer: Any) -> None:
        await original(self, _Observer(observer))

    return _run_observer


class _Proxy:
    """Stands for a task or an observer before the loop that only reads its attributes."""

    def __init__(self, proxied: Any) -> None:
        self._proxied = proxied

    def __getattr__(self, name: str) -> Any:
        return getattr(self._proxied, name)


class _PeriodicTask(_Proxy):
    async def run(self) -> Any:
        task = self._proxied
        if not HOP.active:
            return await task.run()
        with _scope_of(task, task.run, "interval"):
            return await task.run()


class _Observer(_Proxy):
    async def observe(self) -> Any:
        observer = self._proxied
        if not HOP.active:
            return await observer.observe()
        with _scope_of(observer, observer.observe, "observe_interval"):
            return await observer.observe()


def _scope_of(what: Any, method: Callable[..., object], interval: str) -> SpanScope:
    """The scope of one run of a cron's task or an observer; both have a ``name``, and an interval in seconds."""
    function = function_name(method)
    name, quiet = function, True
    with _NAME:
        name = clean_text(what.name) if type(what.name) is str and what.name else name
        seconds = getattr(what, interval)
        if callable(seconds):
            seconds = seconds()
        quiet = noise.is_noise(name, _is_tick(what) or name in _LOOKING or seconds <= NOISE_INTERVAL)
    return run_scope(name, Context(), function=function, quiet=quiet)


def _is_tick(what: object) -> bool:
    """Whether a task only sends an event: whether that is worth a span is the event's own affair."""
    return type(what).__name__ == "EventProducerTask"


@HOP.wraps("ai.backend.common.health_checker.probe", "HealthProbe.check_all")
@HOP.wraps("ai.backend.manager.clients.agent.pool", "AgentClientPool._check_all_health")
@HOP.wraps("ai.backend.web.clients.endpoint_pool.pool", "HealthyEndpointPool._check_all_health")
def _wrap_health_check(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    name = function_name(original)

    @functools.wraps(original)
    async def check(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not HOP.active:
            return await original(self, *args, **kwargs)
        with run_scope(name, Context(), quiet=noise.is_noise(name, True)):
            return await original(self, *args, **kwargs)

    return check
