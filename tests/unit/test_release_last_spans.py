# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The judgement of the spans that components hold until they end, behind `make test-releases`."""

import pytest

from tests.realstack.matrix.last_spans import Asked, last_span_problems

MANAGER, OTHER, AGENT = Asked("manager", "1"), Asked("manager", "2"), Asked("agent", "3")
ASKED = [MANAGER, OTHER, AGENT]


@pytest.mark.parametrize("before", [[], [MANAGER]])
def test_spans_that_came_with_the_end_are_green(before: list[Asked]) -> None:
    """Some may have gone earlier: a queue that is full does not wait."""
    assert last_span_problems(["manager", "agent"], ASKED, before, ASKED) == []


@pytest.mark.parametrize(
    ("asked", "before", "after", "problems"),
    [
        (ASKED, [], [MANAGER, AGENT], ["manager: 1 of the 2 requests that it served last have no SERVER span"]),
        (ASKED, [], [MANAGER, OTHER], ["agent: 1 of the 1 requests that it served last have no SERVER span"]),
        # What is sent at once proves nothing about the end.
        (ASKED, [MANAGER, OTHER], ASKED, ["manager: no span waited for its end"]),
        ([MANAGER], [], [MANAGER], ["agent: no span waited for its end"]),
    ],
)
def test_a_span_that_did_not_wait_or_never_came_turns_the_row_red(
    asked: list[Asked], before: list[Asked], after: list[Asked], problems: list[str]
) -> None:
    """Each rule has a run that breaks it, and the sentence names the component."""
    assert last_span_problems(["manager", "agent"], asked, before, after) == problems
