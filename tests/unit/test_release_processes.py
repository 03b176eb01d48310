# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The judgement of processes behind `make test-releases`: who sent, and who ran."""

from collections.abc import Sequence

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_backendai.desk.model import LogLine
from otel_backendai.otlp.exporter import OtlpSpanExporter
from tests.realstack.matrix.judging_processes import process_problems
from tests.realstack.matrix.senders import Sender, receiving, sender_of

GOOD = [
    Sender("manager", "", 10, "a", "log record"),
    Sender("manager", "", 11, "b", "span"),
    Sender("manager", "", 11, "b", "log record"),
    Sender("manager", "", 12, "c", "span"),
    Sender("agent", "", 21, "d", "span"),
]
RUNNING = {"manager": [11, 12], "agent": [21]}


def test_a_run_whose_processes_name_themselves_is_green() -> None:
    """What the red cases below add or take is the only thing that turns the row red."""
    assert process_problems(GOOD, RUNNING, {"manager": 2}) == []


@pytest.mark.parametrize(
    ("senders", "running", "problems"),
    [
        ([*GOOD, Sender("manager", "", None, "b", "span")], RUNNING, ["manager: a span without process.pid"]),
        (
            [*GOOD, Sender("agent", "", 21, "", "log record")],
            RUNNING,
            ["agent: a log record without service.instance.id"],
        ),
        (
            [*GOOD, Sender("manager", "", 11, "x", "log record")],
            RUNNING,
            ["manager: process 11 has 2 service.instance.id"],
        ),
        (
            [*GOOD, Sender("manager", "", 99, "b", "span")],
            RUNNING,
            ["manager: service.instance.id b is that of 2 processes"],
        ),
        ([one for one in GOOD if one.pid != 12], RUNNING, ["manager: no span of its worker process 12"]),
        # Log records of its start are no proof that a worker's requests are seen.
        (
            [one for one in GOOD if (one.pid, one.signal) != (11, "span")],
            RUNNING,
            ["manager: no span of its worker process 11"],
        ),
        (GOOD, {**RUNNING, "storage": []}, ["storage: no worker process runs"]),
        (GOOD, {**RUNNING, "manager": [11]}, ["manager: 1 worker processes run, 2 were asked for"]),
    ],
)
def test_a_process_that_is_not_told_from_others_or_said_nothing_turns_the_row_red(
    senders: Sequence[Sender], running: dict[str, list[int]], problems: list[str]
) -> None:
    """Each rule has a run that breaks it, and the sentence names the component."""
    assert process_problems(senders, running, {"manager": 2}) == problems


def test_hosts_and_services_are_told_apart() -> None:
    """The same number on two hosts, or the same instance ID in two services, names two processes."""
    elsewhere = [Sender("manager", "other", 11, "x", "span"), Sender("storage", "", 31, "b", "span")]
    assert process_problems([*GOOD, *elsewhere], RUNNING, {}) == []


def test_what_an_item_does_not_say_is_not_guessed() -> None:
    """A resource without the two is what turns the row red, and is kept as it came."""
    line = LogLine(1, "INFO", "x", "backend.ai-manager", resource={"process.pid": "11"})
    assert sender_of(line, "log record") == Sender("manager", "", None, "", "log record")


def test_the_receiver_keeps_who_sent_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that arrives there is looked at, by what its resource says."""
    resource = Resource({"service.name": "backend.ai-agent", "process.pid": 7, "service.instance.id": "i"})
    with receiving() as (url, senders):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(SimpleSpanProcessor(OtlpSpanExporter()))
        with provider.get_tracer("test").start_as_current_span("one"):
            pass
        provider.shutdown()
    assert list(senders.seen) == [Sender("agent", "", 7, "i", "span")]
