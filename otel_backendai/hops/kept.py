# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What is kept of one thing, a session or a token: the request that made it, or several that made the same."""

from collections.abc import Iterable
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import get_current_span

from otel_backendai import request_id
from otel_backendai.propagators.kept_value import MAX_OTHERS


@dataclass(slots=True)
class Kept:
    """What is known of a thing: its request's context and time; of a session, its status and since when.

    Attributes:
        others: Those of other requests which made the same in the same moment: it says of none of them that it is it.
    """

    context: Context
    at: float
    status: str | None = None
    since: float = 0.0
    others: tuple[Context, ...] = ()

    @property
    def contexts(self) -> tuple[Context, ...]:
        """Those of all requests that have made it."""
        return (self.context, *self.others)

    def add(self, contexts: Iterable[Context]) -> bool:
        """Take ``contexts`` among the others, unless they are of a request that is there; whether one was taken."""
        before = self.others
        for context in contexts:
            if len(self.others) < MAX_OTHERS and not any(_is_same(context, known) for known in self.contexts):
                self.others = (*self.others, context)
        return self.others != before


def _is_same(one: Context, other: Context) -> bool:
    """Whether two contexts are of one request: by its ID, which it has in all of its traces, else by the trace."""
    first, second = request_id.read(one), request_id.read(other)
    if first is not None or second is not None:
        return first == second
    return get_current_span(one).get_span_context().trace_id == get_current_span(other).get_span_context().trace_id
