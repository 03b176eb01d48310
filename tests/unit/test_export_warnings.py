# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the official exporters log: bounded, and never without a word."""

import logging
from collections.abc import Iterator

import pytest

from otel_backendai.sdk.export_warnings import RareWarnings, limit_official_exporters

NAME = "opentelemetry.exporter.of.this.test"


@pytest.fixture
def exporter_log() -> Iterator[logging.Logger]:
    """A logger such as theirs, with the filter; those of others as before."""
    logger = logging.getLogger(NAME)
    before = {name: list(logging.getLogger(name).filters) for name in logging.root.manager.loggerDict}
    limit_official_exporters()
    yield logger
    for name, filters in before.items():
        logging.getLogger(name).filters[:] = filters
    logger.filters.clear()


def test_one_line_a_minute_of_each_level(exporter_log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    """The next line after a minute says how many were kept back; another level has its own minute."""
    now = 100.0
    exporter_log.filters[:] = [RareWarnings(lambda: now)]
    with caplog.at_level(logging.DEBUG, NAME):
        for _ in range(3):
            exporter_log.warning("Transient error %s", "UNAVAILABLE")
        exporter_log.error("Failed, 100%")
        now = 161.0
        exporter_log.warning("Transient error %s", "UNAVAILABLE")
        exporter_log.error("Failed, 100%")
        now = 300.0
        exporter_log.warning("Transient error %s", "UNAVAILABLE")
    assert caplog.messages == [
        "Transient error UNAVAILABLE",
        "Failed, 100%",
        "Transient error UNAVAILABLE (more like it in the last minutes: 2)",
        "Failed, 100%",
        "Transient error UNAVAILABLE",
    ]


def test_what_is_no_warning_passes(exporter_log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever asks for debug lines gets them all."""
    with caplog.at_level(logging.DEBUG, NAME):
        for _ in range(3):
            exporter_log.debug("attempt")
            exporter_log.info("sent")
    assert len(caplog.messages) == 6


def test_only_exporters_and_only_once(exporter_log: logging.Logger) -> None:
    """A second exporter adds no second filter; other loggers are the application's."""
    limit_official_exporters()
    assert len([one for one in exporter_log.filters if isinstance(one, RareWarnings)]) == 1
    others = [name for name in logging.root.manager.loggerDict if not name.startswith("opentelemetry.exporter.")]
    assert not [name for name in others if any(isinstance(f, RareWarnings) for f in logging.getLogger(name).filters)]
