# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The figures behind `make bench-releases`."""

import dataclasses
from collections.abc import Mapping

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


def noted(*notes: Mapping[str, object]) -> Runs:
    """Runs of one step with these notes."""
    return Runs([[Step("create", "", "", note=note)] for note in notes])


SAME: list[tuple[Mapping[str, object], Mapping[str, object]]] = [
    ({"id": "7c9e6679-7425-40de-944b-e07fc1f90ae7"}, {"id": "0f8fad5b-d9cb-469f-a165-70867728950e"}),
    (
        {"url": "http://127.0.0.1:28150/lab", "at": 1700000000.25},
        {"url": "http://127.0.0.1:28151/lab", "at": 1700000009.5},
    ),
    (
        {"at": "2026-11-28T09:00:00.5Z", "name": "smoke-0a1b2c3d"},
        {"at": "2026-11-28 09:01:00", "name": "smoke-99999999"},
    ),
    ({"token": "eyJhbGciOiJIUzI1NiJ9.eyJvcCI6.c2ln"}, {"token": "eyJhbGciOiJIUzI1NiJ9.eyJvcCI7.c3ln"}),
    ({"seen": ["PENDING", "RUNNING"]}, {"seen": ["PENDING", "PREPARING", "RUNNING"]}),
    ({"headers": ["X-Frame"]}, {"headers": ["X-Backend-Request-ID", "X-Frame"]}),
    ({"headers": []}, {"headers": ["x-backend-request-id=a"]}),
]


@pytest.mark.parametrize(("without", "with_plugin"), SAME)
def test_what_is_another_in_every_run_is_no_difference(
    without: Mapping[str, object], with_plugin: Mapping[str, object]
) -> None:
    """IDs, times, tokens, ports, the statuses that a poll missed, and the response header that is ours to add."""
    assert differences(Pairs("26.9.6", noted(without), noted(with_plugin))) == []


OTHER: list[tuple[Mapping[str, object], Mapping[str, object]]] = [
    ({"status": 200}, {"status": 201}),
    ({"files": [["hello.txt", 100000]]}, {"files": [["hello.txt", 99999]]}),
    ({"seen": ["PENDING", "RUNNING"]}, {"seen": ["PENDING", "ERROR"]}),
    ({"arrived": []}, {"arrived": ["X-Request-ID=7c9e6679-7425-40de-944b-e07fc1f90ae7"]}),
    ({"manager": "26.9.6"}, {"manager": "26.9.5"}),
    ({"status": 200, "id": "a"}, {"status": 200}),
]


@pytest.mark.parametrize(("without", "with_plugin"), OTHER)
def test_what_a_step_notes_on_one_side_only_is_told(
    without: Mapping[str, object], with_plugin: Mapping[str, object]
) -> None:
    """Also when it is so in one of several runs."""
    told = differences(Pairs("26.9.6", noted(without, without), noted(without, with_plugin)))
    told += differences(Pairs("26.9.6", noted(without), noted(with_plugin)))
    assert told
    assert all(sentence.startswith("create notes only with") for sentence in told)


def test_the_notes_of_repeated_requests_are_compared() -> None:
    """Once in many times it answered otherwise with the plugin."""
    good, bad = Step("list", "", "", note={"status": 200}), Step("list", "", "", note={"status": 500})
    told = differences(Pairs("26.9.6", Runs([], [good, good]), Runs([], [good, bad])))
    assert told == ["list notes only with the plugin: status=500"]


def test_a_scenario_that_takes_too_long_is_told() -> None:
    """More than 1.1 times as long, as a whole; a part may be slower."""
    assert too_slow(PAIRS) == []
    (sentence,) = too_slow(Pairs("26.9.6", PAIRS.without, Runs([run(0.2, 10.2)] * 3, [])))
    assert "1.13 times as long" in sentence


def test_the_page_has_the_figures() -> None:
    """Each with both medians and their ratio."""
    assert "| whole scenario | 9200 ms | 9300 ms | 1.01 |" in part(PAIRS, "2026-11-28")
