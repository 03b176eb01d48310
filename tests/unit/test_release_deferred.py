# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Behind `make test-deferred`: which row becomes green, red or n/a, and the section that is written of them."""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from otel_backendai.desk.model import Span
from otel_backendai.names import ATTRIBUTE_BGTASK_ID, ATTRIBUTE_REQUEST_ID
from tests.realstack.deferred.journeys import TASKS, TOKENS, absent, task_outcomes, token_outcomes
from tests.realstack.deferred.report import HEADING, section, sentences, terminal_table
from tests.realstack.matrix.observation import Step
from tests.realstack.matrix.page import with_section
from tests.realstack.sessions.outcome import Outcome, read_outcomes, write_outcomes

RELEASE, OLD = "26.9.6", "23.9.10"
_SECOND = 1_000_000_000


def visit(at: int, path: str, route: str = "") -> Span:
    """A request that a component served at a second."""
    attributes = {ATTRIBUTE_REQUEST_ID: "a", "url.path": path, "http.route": route}
    begins = at * _SECOND
    return Span("t", path, "", "GET", "server", begins, begins + 1, "backend.ai-storage", attributes=attributes)


UPLOADED = [visit(2, "/folders/x/request-upload", "/folders/{name}/request-upload"), visit(3, "/upload")]
DOWNLOADED = [visit(12, "/folders/x/request-download", "/folders/{name}/request-download"), visit(13, "/download")]


def step(title: str, journey: str, began: int, error: str = "") -> Mapping[str, Any]:
    """What the client without the plugin did for five seconds."""
    return {"title": title, "journey": journey, "error": error, "began": began, "ended": began + 5}


STEPS = [
    step("vfolder create", "", 0),
    step("upload", "folder upload", 1),
    step("download", "folder download", 11),
]


def verdicts(outcomes: list[Outcome]) -> dict[str, str]:
    """By row."""
    return {one.case: one.verdict for one in outcomes}


def test_a_plain_client_whose_tokens_keep_its_traces() -> None:
    """Its journeys are green; what a release has no token for is n/a, with the reason."""
    outcomes = token_outcomes(OLD, STEPS, [*UPLOADED, *DOWNLOADED])
    assert list(verdicts(outcomes).values()) == ["green", "green", "n/a", "green"]
    assert outcomes[2].absent == absent(OLD, "app start")


def test_a_visit_in_another_trace() -> None:
    """Its row is red and no other, and says who it was."""
    spans = [UPLOADED[0], replace(UPLOADED[1], trace_id="u"), *DOWNLOADED]
    upload, *others = token_outcomes(OLD, STEPS, spans)
    assert upload.verdict == "red"
    assert "/upload is in another trace" in upload.problems[0]
    assert "red" not in verdicts(others).values()


def test_a_journey_that_was_not_done() -> None:
    """It is red, not left out."""
    outcomes = token_outcomes(RELEASE, STEPS, [*UPLOADED, *DOWNLOADED])
    assert verdicts(outcomes)[TOKENS["app start"]] == "red"


@pytest.mark.parametrize(
    ("failed", "row"), [(step("upload", "folder upload", 1, "404"), 0), (step("vfolder delete", "", 20, "500"), -1)]
)
def test_a_step_that_failed(failed: Mapping[str, Any], row: int) -> None:
    """It makes its journey red, and the clients where it belongs to none."""
    outcomes = token_outcomes(OLD, [*STEPS, failed], [*UPLOADED, *DOWNLOADED])
    assert outcomes[row].problems == [f"{failed['title']}: {failed['error']}"]
    assert list(verdicts(outcomes).values()).count("red") == 1


def test_a_token_on_a_span() -> None:
    """It has a row of its own, whichever journey it is of."""
    spans = [*UPLOADED, *DOWNLOADED, replace(UPLOADED[1], span_id="o", attributes={"any": "/upload?token=abc"})]
    assert [one.case for one in token_outcomes(OLD, STEPS, spans) if one.problems] == ["no token on a span"]


def left_behind(**changes: str) -> list[Span]:
    """What a scan of a registry leaves behind in the manager."""
    own = {ATTRIBUTE_REQUEST_ID: "r", **changes}
    task = {**own, ATTRIBUTE_BGTASK_ID: "task"}
    return [
        Span("t", name, "", name, "internal", 0, 1, "backend.ai-manager", attributes=attributes)
        for name, attributes in (("rescan_images", task), ("publish bgtask_failed", own))
    ]


def rescan(steps: list[Step], spans: list[Span]) -> Outcome:
    """What is said of the scan."""
    return next(one for one in task_outcomes(RELEASE, steps, spans) if one.case == TASKS["rescan"])


def test_a_background_task_of_a_request() -> None:
    """Green when all of it is in the request's trace, red when a part is missing, refused or never asked for."""
    asked = Step("rescan", "r", "")
    assert rescan([asked], left_behind()).verdict == "green"
    assert rescan([asked], left_behind()[:1]).problems == ["no publish bgtask_failed of backend.ai-manager"]
    assert rescan([replace(asked, error="refused")], []).problems == ["refused"]
    assert rescan([], left_behind()).verdict == "red"


OUTCOMES = [
    Outcome(OLD, TASKS["rescan"], problems=["2 traces"]),
    Outcome(OLD, TOKENS["app start"], absent="no token"),
    Outcome(RELEASE, TASKS["rescan"]),
    Outcome(RELEASE, TOKENS["app start"]),
]


def test_the_section(tmp_path: Path) -> None:
    """A row per journey, a column per release with the newest first, reasons below; other sections stay as they are."""
    kept = tmp_path / "outcomes.json"
    write_outcomes(kept, OUTCOMES)
    text = section(read_outcomes(kept), "2026-11-24")
    assert "|  | 26.9.6 | 23.9.10 |\n| --- | --- | --- |\n" in text
    assert "\n| app start by a plain client | green | n/a |\n| registry scan | green | red |\n" in text
    assert text.endswith(
        "\n- **23.9.10, registry scan**: 2 traces\n- **23.9.10, app start by a plain client**: no token\n"
    )
    page = with_section("# Compatibility\n\n## Sessions\n\nold\n", HEADING, text)
    assert page == f"# Compatibility\n\n## Sessions\n\nold\n\n## {HEADING}\n\n{text}"


def test_a_row_that_one_release_did_not_come_to() -> None:
    """A stack that does not start has a row of its own, and the others were not run: neither green nor red."""
    text = section([*OUTCOMES[2:], Outcome(OLD, "start", problems=["no database"])], "2026-11-24")
    assert "| registry scan | green | - |\n| start | - | red |\n\n- **23.9.10, start**: no database\n" in text


def test_the_terminal_says_the_same() -> None:
    """The table has the verdicts, and the sentences below it the reasons."""
    text = io.StringIO()
    Console(file=text, width=100).print(terminal_table(OUTCOMES))
    assert [line.split()[-2:] for line in text.getvalue().splitlines() if "registry scan" in line] == [["red", "│"]]
    assert sentences(OUTCOMES)[0] == (OLD, "registry scan", "2 traces")
