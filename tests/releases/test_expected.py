# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the newest adapters expect is in the newest release."""

import importlib

import pytest

from otel_backendai.releases import expected


@pytest.mark.families("26.9")
def test_everything_is_there() -> None:
    """In the modules themselves, and in their files."""
    assert expected.missing_targets(expected.TARGETS) == []
    for module, _ in expected.TARGETS:
        importlib.import_module(module)
    assert expected.missing_targets(expected.TARGETS) == []
