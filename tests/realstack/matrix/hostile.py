# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A request ID that is no text, sent to the manager of a stack, and what has to become of it."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from otel_backendai.desk.model import LogLine, Span
from otel_backendai.names import ATTRIBUTE_ORIGIN_DETAIL, HEADER_RESPONSE_REQUEST_ID, ORIGIN_HTTP
from tests.realstack.matrix.observation import Observation, component_of, request_id_of
from tests.realstack.matrix.span_tree import is_http, is_rpc
from tests.realstack.stack.control import client_environment
from tests.realstack.stack.settings import HERE, Stack, StackError

# As drive_hostile.py sends it, between bytes that are no text.
MARK: Final = "hostile-request-id"
_TIMEOUT: Final = 90
# Released agents answer at once; without the plugin a call under such an ID hangs for ever in some.
_IN_TIME: Final = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client of ``drive_hostile.py`` got, in its words."""

    status: int
    seconds: float
    request_ids: Sequence[str]
    answer: str
    error: str = ""


def send(stack: Stack) -> Answer:
    """Send the request to a running stack.

    Raises:
        StackError: The client ended before it had sent anything.
    """
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "answer.json")
        command = [str(part) for part in (stack.python, HERE / "drive_hostile.py", "--report", report)]
        environment = os.environ | client_environment(stack)
        done = subprocess.run(command, env=environment, timeout=_TIMEOUT, check=False)
        if not report.exists():
            raise StackError(f"the hostile client of {stack.release} ended with {done.returncode}, see above")
        return Answer(**json.loads(report.read_text()))


def hostile_problems(answer: Answer, observation: Observation) -> list[str]:
    """What is wrong with the answer, and with what the stack made of the request; none when it is green."""
    if answer.error or answer.status != 200 or answer.seconds > _IN_TIME:
        what = answer.error or f"{answer.status}, {answer.answer[:200]}"
        return [f"manager: the answer after {answer.seconds:.1f} s is {what}"]
    return [*_of_answer(answer), *_of_spans(answer, observation.spans), *_of_text(observation)]


def _of_answer(answer: Answer) -> Iterator[str]:
    agents, errors = _agents(answer.answer)
    # An agent of 23.09 raises at this call, whoever makes it: an error that names it is its answer, too.
    if not agents or any(
        agent.get("hardware_metadata") is None and str(agent.get("id")) not in errors for agent in agents
    ):
        yield f"manager: the answer tells nothing of an agent: {answer.answer[:200]}"
    if len(answer.request_ids) != 1 or not _is_minted(answer.request_ids[0]):
        yield f"manager: {HEADER_RESPONSE_REQUEST_ID} on the response is {', '.join(answer.request_ids) or 'missing'}"


def _agents(text: str) -> tuple[list[dict[str, object]], str]:
    """The agents of an answer, and the text of its errors."""
    try:
        content = json.loads(text)
        return list((content.get("data") or content)["agents"]), json.dumps(content.get("errors"))
    except (ValueError, TypeError, KeyError, AttributeError):
        return [], ""


def _is_minted(text: str) -> bool:
    try:
        return UUID(text).version == 4 and str(UUID(text)) == text
    except ValueError:
        return False


def _of_spans(answer: Answer, spans: Sequence[Span]) -> Iterator[str]:
    ours = [span for span in spans if request_id_of(span) in answer.request_ids and span.kind == "server"]
    roots = [span for span in ours if component_of(span) == "manager" and is_http(span)]
    if not roots:
        yield "manager: no SERVER span with the request ID of the response"
        return
    for span in roots:
        if span.attributes.get(ATTRIBUTE_ORIGIN_DETAIL) != ORIGIN_HTTP:
            yield f"manager: {span.name} does not say that its request ID was minted"
    traces = {span.trace_id for span in roots}
    if not any(component_of(span) == "agent" and is_rpc(span) and span.trace_id in traces for span in ours):
        yield "agent: no SERVER span of a call with the request ID of the response, in its trace"


def _of_text(observation: Observation) -> Iterator[str]:
    """The hostile text is nowhere: not at the receiver, not in a log file."""
    for component, lines in observation.lines.items():
        if any(MARK in line for line in lines):
            yield f"{component}: the hostile text is in its log file"
    items: list[Span | LogLine] = [*observation.spans, *observation.logs]
    for component in dict.fromkeys(component_of(item) for item in items if MARK in repr(item)):
        yield f"{component}: the hostile text is at the receiver"
