# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""`examples/scale-out` with real processes: the run of `make scale-out`, smaller."""

import subprocess
from pathlib import Path

import pytest

from tools.scale_out.cluster import GATEWAY_CONFIG, NODE_CONFIGS, configs
from tools.scale_out.traffic import SPANS_PER_TRACE
from tools.scale_out.unharmed import run_unharmed

_VALIDATE_TIMEOUT = 60
_TRACES = 500


@pytest.mark.parametrize(
    ("program", "files"),
    [
        ("otelcol", NODE_CONFIGS),
        ("otelcol", (*NODE_CONFIGS, "examples/scale-out/resolver-dns.yaml")),
        ("otelcol", (GATEWAY_CONFIG,)),
        ("jaeger", ("examples/scale-out/jaeger.yaml",)),
    ],
)
def test_configurations_are_valid(binaries: Path, program: str, files: tuple[str, ...]) -> None:
    """Each file is accepted with nothing set: all addresses and sizes have defaults."""
    validated = subprocess.run(
        [binaries / program, "validate", *configs(*files)],
        capture_output=True,
        text=True,
        timeout=_VALIDATE_TIMEOUT,
        check=False,
    )
    assert validated.returncode == 0, validated.stderr


def test_traces_are_whole_at_one_gateway_and_sampled_by_the_rules(binaries: Path, tmp_path: Path) -> None:
    """Spans of a trace through different nodes meet at one gateway, which counts all and keeps by rule."""
    outcome = run_unharmed(binaries, tmp_path, traces=_TRACES, spans_per_second=500 * SPANS_PER_TRACE)
    assert outcome.checks
    assert [check for check in outcome.checks if not check.kept] == []
