# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What requests leave to others: whoever comes back with a token, and background tasks. Verdicts over what was seen."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_backendai.desk.model import Span
from tests.realstack.background_traces import judge_step
from tests.realstack.matrix.observation import Step
from tests.realstack.matrix.sentences import some
from tests.realstack.sessions.outcome import Outcome
from tests.realstack.token_traces import judge, shown_tokens

# Rows of the table in their order, by what the drives call them.
TOKENS: Final[Mapping[str, str]] = {
    "folder upload": "upload by a plain client",
    "folder download": "download by a plain client",
    "app start": "app start by a plain client",
}
TASKS: Final[Mapping[str, str]] = {
    "clone": "folder clone",
    "delete": "folder deleted for ever",
    "rescan": "registry scan",
    "service": "model service",
    "service end": "model service deleted",
}
HIDDEN: Final = "no token on a span"
CLIENTS: Final = "the clients"
TITLES: Final = (*TOKENS.values(), HIDDEN, *TASKS.values(), CLIENTS)
# By family and by what the drives call them: why it is not there.
_NO_INFERENCE: Final = "it takes images of the role INFERENCE only, and the stack has none"
_ABSENT: Final[Mapping[tuple[str, str], str]] = {
    ("23.9", "app start"): "its apps are reached by signed calls to the manager, without a token",
    ("24.3", "service"): _NO_INFERENCE,
    ("24.3", "service end"): _NO_INFERENCE,
}
_MISSING: Final = "not done, see the command's output"


def absent(release: str, name: str) -> str:
    """Why a release or its stack does not have what the drives call ``name``; "" when it has."""
    return _ABSENT.get((".".join(release.split(".")[:2]), name), "")


def token_outcomes(release: str, steps: Sequence[Mapping[str, Any]], spans: Sequence[Span]) -> list[Outcome]:
    """One for each journey of the client without the plugin, and one for tokens that can be read.

    Args:
        release: The release.
        steps: The report of ``plain.py``.
        spans: All that arrived.
    """
    outcomes = []
    for name, title in TOKENS.items():
        own = [step for step in steps if step["journey"] == name]
        if reason := absent(release, name):
            outcomes.append(Outcome(release, title, absent=reason))
        elif own:
            failed = [f"{step['title']}: {step['error']}" for step in own if step["error"]]
            outcomes.append(Outcome(release, title, problems=[*failed, *some(judge(release, spans, name, own))]))
        else:
            outcomes.append(Outcome(release, title, problems=[_MISSING]))
    outcomes.append(Outcome(release, HIDDEN, problems=some(shown_tokens(spans))))
    # A folder or a session around the journeys: what made one red, or a stack that is not what it should be.
    failed = [f"{step['title']}: {step['error']}" for step in steps if step["error"] and not step["journey"]]
    return [*outcomes, *([Outcome(release, CLIENTS, problems=failed)] if failed else [])]


def task_outcomes(release: str, steps: Sequence[Step], spans: Sequence[Span]) -> list[Outcome]:
    """One for each request that leaves work behind.

    Args:
        release: The release.
        steps: What ``drive_backgrounds.py`` did.
        spans: All that arrived.
    """
    done = {step.title: step for step in steps}
    outcomes = []
    for name, title in TASKS.items():
        if reason := absent(release, name):
            outcomes.append(Outcome(release, title, absent=reason))
        else:
            problems = judge_step(release, done[name], spans) if name in done else [_MISSING]
            outcomes.append(Outcome(release, title, problems=some(problems)))
    return outcomes
