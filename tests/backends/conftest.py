# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A real Jaeger and a real Collector on loopback, started once for all tests and ended after them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.servers import ROOT, Collector, Jaeger, run_collector, run_jaeger
from tests.integration.otlp_receiver import Receiver, otlp_receiver

_BUILD_TIMEOUT = 1800


@pytest.fixture(scope="session")
def binaries() -> Path:
    """The directory that holds `jaeger` and `otelcol`; they are built when they are missing."""
    built = subprocess.run(
        [ROOT / "backends" / "build.sh"], capture_output=True, text=True, timeout=_BUILD_TIMEOUT, check=False
    )
    assert built.returncode == 0, built.stderr
    return Path(built.stdout.strip())


@pytest.fixture(scope="session")
def jaeger(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    """Jaeger with its store in memory."""
    with run_jaeger(binaries, tmp_path_factory.mktemp("jaeger")) as running:
        yield running


@pytest.fixture(scope="session")
def loki() -> Iterator[Receiver]:
    """What stands for Loki: a receiver of OTLP/HTTP that keeps the log records."""
    with otlp_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def collector(
    binaries: Path, jaeger: Jaeger, loki: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Collector]:
    """The Collector with the configuration of the repository, before Jaeger and the receiver of logs."""
    directory = tmp_path_factory.mktemp("collector")
    with run_collector(binaries, directory, jaeger.otlp_grpc, LOKI_ENDPOINT=loki.url) as running:
        yield running
