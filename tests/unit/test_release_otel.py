# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The judgement behind `make test-releases OTEL=1`: two set-ups of one thing, and what they leave."""

import io
import json
import socket
from pathlib import Path

import pytest
from rich.console import Console

from tests.realstack.matrix.facts import Facts
from tests.realstack.matrix.judging import Cell
from tests.realstack.matrix.own_otel import otel_problems, sent, switched_on
from tests.realstack.matrix.page_check import contradictions
from tests.realstack.matrix.report import OWN_OTEL, Column, markdown, terminal_table
from tests.realstack.stack.settings import Stack

COMPONENTS = ["manager", "agent"]
LINES = {"manager": ["started"], "agent": ["started"]}


def test_a_run_with_the_section_on_and_without_complaints_is_green() -> None:
    """What the red cases below change is the only thing that turns the row red."""
    assert otel_problems(COMPONENTS, COMPONENTS, LINES, {}) == []


@pytest.mark.parametrize(
    ("on", "lines", "arrived", "problem"),
    [
        (["manager"], LINES, {}, "agent: the section is not on"),
        (
            COMPONENTS,
            {"manager": ["WARNING Overriding of current TracerProvider is not allowed"]},
            {},
            "manager: its log says: Overriding of current TracerProvider",
        ),
        (
            COMPONENTS,
            {"agent": ["Attempting to instrument while already instrumented"]},
            {},
            "agent: its log says: already instrumented",
        ),
        (COMPONENTS, LINES, None, "nobody listens at the section's endpoint"),
        (COMPONENTS, LINES, {"manager": 3}, "manager: 3 spans and log records went to the section's endpoint"),
    ],
)
def test_two_set_ups_at_once_turn_the_row_red(
    on: list[str], lines: dict[str, list[str]], arrived: dict[str, int] | None, problem: str
) -> None:
    """A section that is not on proves nothing; one that is on must neither be heard of nor send."""
    assert otel_problems(on, COMPONENTS, lines, arrived) == [problem]


def test_the_section_is_looked_for_where_a_component_reads_it(tmp_path: Path) -> None:
    """In the file that its command names, and only as one that is enabled."""
    (tmp_path / "run").mkdir()
    for name, text in (("manager", "[otel]\nenabled = true\n"), ("agent", "[otel]\nenabled = false\n")):
        (tmp_path / f"{name}.toml").write_text(text)
        (tmp_path / "run" / f"{name}.command").write_text(f"env A=b python -m x -f {tmp_path}/{name}.toml\n")
    assert switched_on(Stack("26.9.6", tmp_path, 1), COMPONENTS) == ["manager"]


def test_what_arrived_at_the_sections_endpoint_is_counted(tmp_path: Path) -> None:
    """Spans and log records of this run, if somebody listens there; metrics are not ours to take over."""
    rows = [{"signal": signal, "service": "manager"} for signal in ("span", "log", "metric")]
    with socket.create_server(("127.0.0.1", 0)) as endpoint:
        stack = Stack("26.9.6", tmp_path, endpoint.getsockname()[1] - 12)
        assert sent(stack) == {}
        (tmp_path / "otlp.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert sent(stack) == {"manager": 2}
    assert sent(stack) is None


def test_a_release_without_the_section_is_told_with_its_reason() -> None:
    """One verdict and one reason; nothing else was run."""
    without = Column(Facts("23.9.10", "3.11", "1.45"), {}, beside={OWN_OTEL: Cell(not_applicable="has none")})
    page = markdown([without], "2026-11-28", otel=True)
    assert without.is_green
    assert "| own [otel] | n/a |\n" in page
    assert "| HTTP in | not run |\n" in page
    assert "- **23.9.10, own [otel]**: has none\n" in page
    assert contradictions(f"## With [otel] on\n\n{page}") == []
    assert "own [otel]" not in markdown([Column(without.facts, {})], "2026-11-28")
    console = Console(file=io.StringIO(), width=80)
    console.print(terminal_table([without]))
    assert "own [otel]" in console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
