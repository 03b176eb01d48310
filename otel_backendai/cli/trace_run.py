# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What ``otel-backendai trace`` does: ask, and print what was found, once or as it arrives."""

import asyncio
import errno
import io
import os
import shutil
import sys
import time
from dataclasses import dataclass
from typing import TextIO

import click

from otel_backendai.cli.arguments import UsageError
from otel_backendai.cli.interruption import Interruption
from otel_backendai.cli.terminal_text import printable
from otel_backendai.cli.trace_components import components_of
from otel_backendai.cli.trace_detection import open_source
from otel_backendai.cli.trace_http import http_session
from otel_backendai.cli.trace_json import answer_json, item_json
from otel_backendai.cli.trace_source import JAEGER, Answer, Question, SourceError, TraceSource
from otel_backendai.cli.trace_text import TraceText
from otel_backendai.cli.trace_tree import start_us
from otel_backendai.desk.model import LogLine, Span
from otel_backendai.names import HEADER_RESPONSE_REQUEST_ID

# What a pipe or a file gets; a terminal says its own width.
_WIDTH_WITHOUT_TERMINAL = 100
_POLL_INTERVAL = 1.0


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """The checked arguments of the command; ``since_text`` is the duration as it was given."""

    identifier: str
    source: str | None
    endpoint: str | None
    since_ns: int
    since_text: str
    limit: int
    follow: bool
    as_json: bool

    def question(self) -> Question:
        """What to ask now."""
        return Question(self.identifier, time.time_ns() - self.since_ns, self.limit)


def run_trace(options: TraceOptions) -> int:
    """Run the command; returns the exit status.

    0 when something was found, or when following was ended by a signal; 1 when nothing was found; 128 + N when
    signal N came before the answer.

    Raises:
        SourceError: The source cannot be reached, or is none.
        UsageError: What was found cannot be printed.
    """
    stdout = sys.stdout
    if stdout is None:
        raise UsageError("there is no standard output to print to")
    try:
        return _run(options, stdout)
    except RecursionError as error:
        raise SourceError("what the source answers is nested too deeply to be shown") from error
    except OSError as error:
        if error.errno in (None, errno.EPIPE):
            raise
        raise UsageError(f"cannot print: {os.strerror(error.errno)}") from error


def _run(options: TraceOptions, stdout: TextIO) -> int:
    if isinstance(stdout, io.TextIOWrapper):
        # A terminal that has no lines to draw with gets question marks instead of an error.
        stdout.reconfigure(errors="replace")
    interruption = Interruption(lambda: None)
    if options.follow:
        asyncio.run(_follow(options, stdout, interruption))
        return 0
    found = asyncio.run(_ask(options, interruption))
    if found is None:
        return 128 + (interruption.number or 0)
    source, answer = found
    components = components_of(answer)
    if options.as_json:
        stdout.writelines(answer_json(options.identifier, source, answer, components))
    elif answer.traces or answer.logs:
        stdout.writelines(f"{line}\n" for line in _text(stdout).answer(answer, components))
    stdout.flush()
    if answer.cut:
        click.echo(f"Only the latest {options.limit} traces are shown; --limit takes more.", err=True)
    if answer.traces or answer.logs:
        return 0
    click.echo(_nothing_found(options, source, answer), err=True)
    return 1


async def _ask(options: TraceOptions, interruption: Interruption) -> tuple[TraceSource, Answer] | None:
    with interruption.cancels():
        async with http_session() as session:
            source = await open_source(session, options.source, options.endpoint)
            return source, await source.find(options.question())
    return None


async def _follow(options: TraceOptions, stdout: TextIO, interruption: Interruption) -> None:
    seen: set[int] = set()
    text, is_down = _text(stdout), False
    question = options.question()
    with interruption.cancels():
        async with http_session() as session:
            source = await open_source(session, options.source, options.endpoint)
            click.echo(f"Following {options.identifier} at {source.endpoint}. Ctrl-C ends.", err=True)
            while True:
                try:
                    answer = await source.find(question)
                    is_down = False
                except SourceError as error:
                    # It may come back, as a Jaeger that is restarted does.
                    if not is_down:
                        click.echo(f"{error.message}; trying again", err=True)
                    is_down = True
                else:
                    for item in _new_items(answer, seen):
                        stdout.write(f"{item_json(item) if options.as_json else text.arrival(item)}\n")
                    stdout.flush()
                await asyncio.sleep(_POLL_INTERVAL)


def _new_items(answer: Answer, seen: set[int]) -> list[Span | LogLine]:
    items: list[Span | LogLine] = []
    spans = {hash((span.trace_id, span.span_id)): span for spans in answer.traces for span in spans}
    # A log record has no identity of its own: equal ones count as one.
    logs = {hash((line.time_ns, line.service, line.span_id, line.body)): line for line in answer.logs}
    arrived: dict[int, Span | LogLine] = {**spans, **logs}
    for key, item in arrived.items():
        if key not in seen:
            seen.add(key)
            items.append(item)
    return sorted(items, key=start_us)


def _text(stdout: TextIO) -> TraceText:
    if not stdout.isatty():
        return TraceText(_WIDTH_WITHOUT_TERMINAL, colour=False, now_ns=time.time_ns())
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    columns = shutil.get_terminal_size((_WIDTH_WITHOUT_TERMINAL, 24)).columns
    return TraceText(columns, colour=colour, now_ns=time.time_ns())


def _nothing_found(options: TraceOptions, source: TraceSource, answer: Answer) -> str:
    known = printable(", ".join(answer.services)) or "none"
    what = "traces" if source.kind == JAEGER else "traces or log lines"
    return (
        f"Nothing found: no {what} of {options.identifier} in the last {options.since_text} at {source.endpoint}. "
        f"Check the ID (it is in the response header {HEADER_RESPONSE_REQUEST_ID}), --since, whether sampling "
        f"dropped it, and whether the components export to this place; known here: {known}. --follow waits for it."
    )
