# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""OTEL_BACKENDAI_NOISE: what makes no spans."""

from collections.abc import Iterator

import pytest

from otel_backendai.hops import noise


@pytest.fixture(autouse=True)
def read_again() -> Iterator[None]:
    """The setting is read once per process: here, once per test."""
    noise._configured.cache_clear()
    yield
    noise._configured.cache_clear()


def test_the_defaults() -> None:
    """Health, metrics, ping, heartbeats; everything else is work."""
    assert noise.is_noise_path("/health")
    assert noise.is_noise_path("/health/readyz")
    assert noise.is_noise_method("ping")
    assert noise.is_noise_timer("AbstractAgent.heartbeat")
    assert noise.is_noise_timer("worker_ctx.<locals>._heartbeat")
    assert noise.is_noise_path("/health", "HEAD")
    assert not noise.is_noise_path("/health", "POST")
    assert not noise.is_noise_path("/session")
    assert not noise.is_noise_method("create_kernels")
    assert not noise.is_noise_timer("heartbeat_report")


def test_more_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name in the setting is noise, whatever it is the name of."""
    monkeypatch.setenv("OTEL_BACKENDAI_NOISE", " /hello , gather_hwinfo,Sweeper.run")
    assert noise.is_noise_path("/hello")
    assert noise.is_noise_path("/hello", "POST")
    assert noise.is_noise_method("gather_hwinfo")
    assert noise.is_noise_timer("Sweeper.run")
    assert noise.is_noise_path("/health")


def test_excluded_urls_are_noise_whatever_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry's own setting knows no methods, nor do its other instrumentations."""
    monkeypatch.setenv("OTEL_PYTHON_EXCLUDED_URLS", "hook,health")
    noise._excluded.cache_clear()
    try:
        assert noise.is_noise_path("/hook", "POST")
        assert noise.is_noise_path("/health", "POST")
        assert not noise.is_noise_path("/metrics", "POST")
    finally:
        noise._excluded.cache_clear()


@pytest.mark.parametrize("name", ["heartbeat", "AbstractAgent.heartbeat"])
def test_less_noise(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minus makes one visible again, a timer by its qualified name or the last part of it."""
    monkeypatch.setenv("OTEL_BACKENDAI_NOISE", f"-/metrics,-{name}")
    assert not noise.is_noise_path("/metrics")
    assert not noise.is_noise_timer("AbstractAgent.heartbeat")
    assert noise.is_noise_path("/health")
    assert noise.is_noise_timer("AbstractAgent.collect_node_stat")


def test_a_decorated_timer_is_known_by_its_decorator() -> None:
    """25.15 wraps its collectors of statistics and leaves their names behind; others in locals are none."""
    assert noise.is_noise_timer("_observe_stat_task.<locals>.decorator.<locals>.wrapper")
    assert not noise.is_noise_timer("elsewhere.<locals>.decorator.<locals>.wrapper")
    assert not noise.is_noise_timer("_observe_stat_task.other")


def test_nothing_is_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """`none` switches the defaults off; what is named beside it stays noise."""
    monkeypatch.setenv("OTEL_BACKENDAI_NOISE", "none,ping")
    assert not noise.is_noise_path("/health")
    assert not noise.is_noise_timer("heartbeat")
    assert noise.is_noise_method("ping")
