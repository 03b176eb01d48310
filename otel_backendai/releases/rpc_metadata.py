# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""26.9 opens a SERVER span of its own per RPC, under what the body's metadata names: ours stands for both."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry.trace import SpanKind

from otel_backendai.hops.rpc import HOP


@HOP.wraps("ai.backend.common.message_queue.types", "MessageMetadata.continue_trace")
def _wrap_continue_trace(
    original: Callable[..., AbstractContextManager[None]],
) -> Callable[..., AbstractContextManager[None]]:
    # Also used for events, whose adapter takes the trace out of the metadata instead.
    @functools.wraps(original)
    def continue_trace(self: Any, span_name: str, kind: SpanKind) -> AbstractContextManager[None]:
        if HOP.active and kind is SpanKind.SERVER:
            return nullcontext()
        return original(self, span_name, kind)

    return continue_trace
