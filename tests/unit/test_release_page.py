# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""docs/compatibility.md agrees with itself: what its tables say, and the reasons that stand below them."""

import pytest

from tests.realstack.matrix.page import PAGE
from tests.realstack.matrix.page_check import contradictions

HEADER = "# Title\n\n## Section\n\n|  | 26.9.6 | 23.9.10 |\n| --- | --- | --- |\n"
PART = "# Title\n\n## Section\n\nlead\n\n### 26.9.6\n\n| the plugin on | | what |\n| --- | --- | --- |\n"


@pytest.mark.parametrize(
    ("page", "problems"),
    [
        (HEADER + "| **a, b** | green | red |\n\n- **23.9.10, a, b**: lost\n", []),
        (
            HEADER + "| a | green | n/a |\n| Python | 3.13 | - |\n\n- **23.9.10, a**: none\n- **26.9.6, the run**: x\n",
            [],
        ),
        (HEADER + "| a | green | green |\n\n- **23.9.10, a**: lost\n", ["23.9.10, a: green, with a reason"]),
        (HEADER + "| a | green | red |\n", ["23.9.10, a: red, without a reason"]),
        (HEADER + "| a | n/a | green |\n", ["26.9.6, a: n/a, without a reason"]),
        (HEADER + "| a | green | green |\n\n- **23.9.10, b**: lost\n", ["23.9.10, b: a reason for no cell"]),
        # A reason below another table is none.
        (
            HEADER + "| a | red | green |\n\n## Other\n\n- **26.9.6, a**: lost\n",
            ["26.9.6, a: red, without a reason", "26.9.6, a: a reason for no cell"],
        ),
        (PART + "| agent, all | red | calls |\n| manager | green | all |\n\n- **agent, all**: lost\n", []),
        (PART + "| manager | green | all |\n\n- **manager**: lost\n", ["manager: green, with a reason"]),
        # One reason for several verdicts in a row: one of them is red.
        (PART + "| pth | green | red |\n\n- **pth**: lost\n", []),
        (PART + "| pth | green | green |\n\n- **pth**: lost\n", ["pth: green, with a reason"]),
    ],
)
def test_a_verdict_and_its_reason_go_together(page: str, problems: list[str]) -> None:
    """A cell with a reason is never green, and one that is not green has a reason."""
    assert contradictions(page) == problems


def test_the_page_of_the_last_runs_agrees_with_itself() -> None:
    """What is committed is what commands wrote, and all of it."""
    text = PAGE.read_text()
    assert "| HTTP in | green |" in text
    assert contradictions(text) == []
