# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The figures behind `make bench-releases`."""

import dataclasses

import pytest

from tests.realstack.matrix.observation import Step
from tests.realstack.pairs.figures import Pairs, Runs, differences, figures, part, request_figures, too_slow


def run(request: float, wait: float) -> list[Step]:
    return [Step("create", "", "", seconds=request), Step("until RUNNING", "", "", seconds=wait, waits=True)]


def requests(*seconds: float) -> list[Step]:
    return [Step("list", "", "", seconds=one) for one in seconds]


PAIRS = Pairs(
    "26.9.6",
    Runs([run(0.1, 8.0), run(0.2, 9.0), run(0.3, 9.5)], requests(0.1, 0.2, 0.9)),
    Runs([run(0.2, 9.0), run(0.3, 9.0), run(9.0, 9.0)], requests(0.2, 0.25, 9.0)),
)


def test_ratios_are_those_of_medians() -> None:
    """One run beside others on a busy machine does not move a ratio; waiting and requests are told apart."""
    told = [(figure.without, figure.with_plugin, figure.ratio) for figure in figures(PAIRS)]
    whole, waits, short, repeated = told
    assert whole == pytest.approx((9.2, 9.3, 9.3 / 9.2))
    assert waits == pytest.approx((9.0, 9.0, 1.0))
    assert short == pytest.approx((0.2, 0.3, 1.5))
    assert repeated == pytest.approx((0.2, 0.25, 1.25))
    assert [figure.what for figure in request_figures(PAIRS)] == ["list"]


def test_runs_that_went_the_same_way_have_no_difference() -> None:
    """Times alone make no difference; there is no assertion on them."""
    assert differences(PAIRS) == []


def test_a_step_that_fails_or_lacks_on_one_side_is_told() -> None:
    """With the plugin the scenario has to pass exactly as without it."""
    failed = [dataclasses.replace(step, error="refused") for step in run(1, 1)[:1]]
    told = differences(Pairs("26.9.6", PAIRS.without, Runs([failed], failed)))
    assert told == ["create fails with the plugin: refused", "the runs did not go through the same steps"]


def test_a_scenario_that_takes_too_long_is_told() -> None:
    """More than 1.1 times as long, as a whole; a part may be slower."""
    assert too_slow(PAIRS) == []
    (sentence,) = too_slow(Pairs("26.9.6", PAIRS.without, Runs([run(0.2, 10.2)] * 3, [])))
    assert "1.13 times as long" in sentence


def test_the_page_has_the_figures() -> None:
    """Each with both medians and their ratio."""
    assert "| whole scenario | 9200 ms | 9300 ms | 1.01 |" in part(PAIRS, "2026-11-28")
