# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A target named late is for those queues only whose target no variable names."""

import pytest

from otel_backendai.sdk import late_target
from otel_backendai.sdk.export_queue import ExportQueue


class Exporter:
    """Keeps what it exports."""

    def __init__(self) -> None:
        self.items: list[object] = []

    def shutdown(self) -> None:
        """Do nothing."""

    def export(self, batch: object, /) -> object:
        """Keep ``batch``."""
        self.items += list(batch)  # type: ignore[call-overload]  # a sequence, by the queue's contract
        return None


@pytest.mark.parametrize(
    ("setting", "value", "late"),
    [
        ("OTEL_TRACES_EXPORTER", "", True),
        ("OTEL_TRACES_EXPORTER", "otlp", True),
        ("OTEL_TRACES_EXPORTER", "console", False),
        ("OTEL_TRACES_EXPORTER", "otlp,console", False),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9", False),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9", False),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://127.0.0.1:9", True),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", False),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b", True),
    ],
)
def test_the_environment_is_never_overruled(
    setting: str, value: str, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exporter, endpoint and protocol name a target; headers and time-outs do not."""
    monkeypatch.setattr(late_target, "_queues", {"traces": [], "logs": []})
    monkeypatch.setenv(setting, value)
    early, later = Exporter(), Exporter()
    queue = ExportQueue[int]("test-late", lambda: early, 10, 10, 60.0)
    late_target.offer("traces", queue)
    late_target.export_to("logs", lambda: early)
    late_target.export_to("traces", lambda: later)
    queue.put(1)
    queue.suspend(2)
    assert (early.items, later.items) == (([], [1]) if late else ([1], []))
