# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the store is asked, and who waits for its answers."""

import pytest

from otel_backendai.hops.kept import Kept
from otel_backendai.hops.kept_questions import Questions


def _nothing(_: Kept) -> None:
    pass


def test_a_thing_is_asked_for_once_and_once_more_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is asked about a thing twice at the most: now, and after the writer has had time to write."""
    questions, now = Questions(10), [100.0]
    monkeypatch.setattr("otel_backendai.hops.kept_questions.time.monotonic", lambda: now[0])
    due = []
    for second in (0.0, 1.0, 4.9, 5.1, 6.0, 3600.0):
        now[0] = 100.0 + second
        due.append(questions.begin("a"))
    assert due == [True, False, False, True, False, False]


def test_a_question_that_was_not_asked_may_be_asked_again() -> None:
    """What the store would not take does not count as asked."""
    questions = Questions(10)
    assert questions.begin("a", _nothing)
    questions.forget("a")
    assert questions.begin("a")
    assert questions.end("a") == []


def test_who_waits_gets_one_answer() -> None:
    """An answer is for all who wait for it at that time, and for each of them once."""
    questions = Questions(10)
    questions.begin("a", _nothing)
    questions.begin("a", _nothing)
    assert questions.end("a") == [_nothing, _nothing]
    assert questions.end("a") == []


def test_who_waits_for_no_answer_is_not_kept() -> None:
    """Once an answer has come nobody is kept waiting for another one that will not come."""
    questions = Questions(10)
    questions.begin("a")
    questions.end("a")
    assert not questions.begin("a", _nothing)
    assert questions.end("a") == []


def test_those_who_wait_are_limited() -> None:
    """A store that does not answer makes nothing grow: neither who waits for one thing nor the things."""
    questions = Questions(2)
    for identifier in ("a", "b", "c"):
        for _ in range(100):
            questions.begin(identifier, _nothing)
    assert [len(questions.end(identifier)) for identifier in ("a", "b", "c")] == [0, 16, 16]
