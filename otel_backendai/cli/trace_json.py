# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""An answer as one JSON object, in pieces: spans and log lines with the fields of the desk's model."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from otel_backendai.cli.trace_components import Components
from otel_backendai.cli.trace_source import Answer, TraceSource
from otel_backendai.cli.trace_tree import missing_parents, start_us
from otel_backendai.desk.attribute_text import attribute_text
from otel_backendai.desk.model import LogLine, Span


def answer_json(identifier: str, source: TraceSource, answer: Answer, components: Components) -> Iterator[str]:
    """The text of the object, piece by piece: a span is copied only while it is written.

    The spans of a trace are in the order of time, whichever order the source has: Jaeger's is another at each question.
    """
    head = {
        "id": identifier,
        "found_as": answer.found_as or None,
        "source": source.kind,
        "endpoint": source.endpoint,
        "cut": answer.cut,
        "components": asdict(components),
    }
    yield json.dumps(head)[:-1] + ', "traces": ['
    for number, spans in enumerate(answer.traces):
        yield (", " if number else "") + json.dumps({"trace_id": spans[0].trace_id, "gaps": _gaps(spans)})[:-1]
        yield ', "spans": ['
        yield from _list(sorted(spans, key=lambda span: (start_us(span), span.span_id)))
        yield "]}"
    yield '], "logs": ['
    yield from _list(answer.logs)
    yield "]}\n"


def item_json(item: Span | LogLine) -> str:
    """A span or a log line as one JSON object; ``type`` says which it is."""
    return json.dumps({"type": "log" if isinstance(item, LogLine) else "span", **asdict(item)}, default=attribute_text)


def _list(items: Iterable[Span | LogLine]) -> Iterator[str]:
    for number, item in enumerate(items):
        yield (", " if number else "") + json.dumps(asdict(item), default=attribute_text)


def _gaps(spans: Sequence[Span]) -> list[dict[str, object]]:
    return [
        {"parent_span_id": parent, "span_ids": [span.span_id for span in orphans]}
        for parent, orphans in missing_parents(spans).items()
    ]
