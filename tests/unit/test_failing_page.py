# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The page about sessions that do not get on: readable at the width of a page, and without a machine's paths."""

from tests.realstack.failing_page import Shown, page

BROKEN = Shown("26.9.6", "broken", ("PENDING", "CREATING"), ("trace 1  \n└─ manager\n", "trace 2\n"))


def test_cases_have_their_releases_and_texts() -> None:
    """By cases, then by releases; what was not tried is not there."""
    text = page([BROKEN, Shown("23.9.10", "broken", ("PENDING",), ("trace 3\n",))])
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Sessions that do not get on",
        "## A creation that fails at the agent",
        "### 26.9.6",
        "### 23.9.10",
    ]
    assert "A client saw PENDING, CREATING." in text
    assert text.count("```text\n") == text.count("\n```\n") == 3
    assert all(line == line.rstrip() for line in text.splitlines())


def test_long_lines_are_folded_below_their_text() -> None:
    """A reason is there in full, and the lines of the tree go on beside it."""
    reason = "no room " * 30
    text = page([Shown("26.9.6", "never", ("PENDING",), (f"│  ├─ still PENDING: {reason}\n",))])
    folded = [line for line in text.splitlines() if line.startswith("│")]
    assert max(map(len, folded)) <= 110
    assert [line[:6] for line in folded] == ["│  ├─ "] + ["│  │  "] * (len(folded) - 1)
    assert " ".join(line[6:] for line in folded).count("no room") == 30
