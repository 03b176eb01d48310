# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The cases that start a stack's components in another way: behind a Redis of ours, and without the plugin."""

import time
from collections.abc import Sequence
from itertools import chain
from statistics import median

from otel_backendai.desk.model import Span
from otel_backendai.hops.context_store import PAUSE
from otel_backendai.names import SESSION_CHANNEL, SESSION_KEY_PREFIX
from tests.realstack.matrix.reading import log_lines
from tests.realstack.matrix.sentences import some
from tests.realstack.sessions.alone import read_sink, share_alone
from tests.realstack.sessions.driving import drive, seen
from tests.realstack.sessions.idle_case import OWN_TRACING
from tests.realstack.sessions.judging import CREATION, figures_of, trace_problems
from tests.realstack.sessions.keyed_redis import DELAY, KeyedRedis, keyed_redis
from tests.realstack.sessions.made import Made
from tests.realstack.sessions.outcome import TITLES, Outcome
from tests.realstack.sessions.redis_judging import complaint_problems, complaints, time_problems
from tests.realstack.stack.control import components, relaunch
from tests.realstack.stack.settings import Stack, StackError

# From the base; of the ports that nobody has (README.md).
_PORT_REDIS, _PORT_HIDDEN = 1, 19
# Each round makes a session while Redis is as always, slow, and refusing: in turns, so that a machine which becomes
# slower in between makes all three slower. Not at once: 23.09's own database sometimes refuses one of those.
_ROUNDS = 5
_EXPORTED = 10


def bad_redis(stack: Stack) -> Outcome:
    """Redis takes 2 s for an answer about our keys, then refuses them; the session must not feel it."""
    with keyed_redis(stack.port_base + _PORT_REDIS, stack.port_base + _PORT_HIDDEN) as keyed:
        relaunch(stack, components(stack))
        drive(stack)  # what is done only once after a start
        since = time.time() - 1
        usual, slow, refused = _rounds(stack, keyed)
        problems = _evidence(keyed, usual, refused)
        problems += [*time_problems("slow", usual, slow), *time_problems("refusing", usual, refused)]
    made = list(chain(*slow, *refused))
    problems += some(_trace_problems(seen(stack, made, since).spans, made))
    said = 0
    for name, lines in log_lines(stack.directory / "log").items():
        problems += [f"{name}: {problem}" for problem in complaint_problems(lines)]
        said += complaints(lines)
    rows = {
        "as always: answer, RUNNING": _times(usual),
        "slow": _times(slow),
        "refusing": _times(refused),
        "lines about it in all logs": str(said),
    }
    return Outcome(stack.release, TITLES["redis"], rows, problems)


def _rounds(stack: Stack, keyed: KeyedRedis) -> tuple[list[list[Made]], list[list[Made]], list[list[Made]]]:
    """Sessions made while Redis was as always, slow, and refusing."""
    usual, slow, refused = [], [], []
    for number in range(_ROUNDS):
        if number:
            time.sleep(PAUSE)  # how long a Redis that failed is left alone
        usual.append(drive(stack))
        keyed.delay = DELAY
        slow.append(drive(stack))
        keyed.delay = 0.0
        keyed.refuse()
        refused.append(drive(stack))
        keyed.allow()
    return usual, slow, refused


def _trace_problems(spans: Sequence[Span], made: Sequence[Made]) -> list[str]:
    figures = [figures_of(spans, one, CREATION) for one in made]
    return [problem for one in figures for problem in trace_problems(one, CREATION, ["manager", "agent"])]


def _evidence(keyed: KeyedRedis, before: Sequence[list[Made]], refused: Sequence[list[Made]]) -> list[str]:
    """What shows that Redis was what it is called."""
    problems = [
        f"nothing with {name} was held back"
        for name in (SESSION_KEY_PREFIX, SESSION_CHANNEL)
        if not keyed.held_back[name]
    ]
    problems += [f"{one.session} was kept by a Redis that refuses" for one in chain(*refused) if keyed.has(one.session)]
    return problems + [f"{one.session} was not kept" for one in chain(*before) if not keyed.has(one.session)]


def _times(runs: Sequence[list[Made]]) -> str:
    made = list(chain(*runs))
    return f"{median(one.post_seconds for one in made):.2f} s, {median(one.seconds for one in made):.2f} s"


def release_alone(stack: Stack) -> Outcome:
    """The release without the plugin, with all of its own tracing on."""
    relaunch(stack, [], OWN_TRACING)
    row, case = "covered by the release alone", TITLES["alone"]
    if "[otel]" not in (stack.directory / "conf" / "manager.toml").read_text():
        return Outcome(stack.release, case, {row: "no tracing of its own"})
    since = time.time_ns()
    try:
        (one,) = drive(stack, plugin=False)
    except StackError:
        # 26.4 with contrib's middleware of 0.61 or later, to which it resolves today: 500 for every request.
        return Outcome(stack.release, case, {row: "no session: with its own tracing on, requests fail"})
    time.sleep(_EXPORTED)
    share, count = share_alone(read_sink(stack.directory / "otlp.jsonl", since), one)
    return Outcome(stack.release, case, {row: f"{share:.1%}, {count} spans"})
