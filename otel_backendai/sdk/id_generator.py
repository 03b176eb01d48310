# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Entry point ``backendai`` of group ``opentelemetry_id_generator``."""

import os
import random

from opentelemetry.sdk.trace.id_generator import IdGenerator

_random = random.Random()  # noqa: S311  # IDs, not secrets; seeded by the operating system
# A forked worker would go on with its parent's sequence, and two workers would name different traces alike.
os.register_at_fork(after_in_child=_random.seed)


class PrivateRandomIdGenerator(IdGenerator):
    """Random IDs from a generator of our own.

    The stock one shares the ``random`` module with the application: one ``random.seed(0)`` in a worker's start-up, and
    all workers produce the same trace IDs.
    """

    def generate_trace_id(self) -> int:
        """Return 128 random bits, never zero."""
        return _random.getrandbits(128) or 1

    def generate_span_id(self) -> int:
        """Return 64 random bits, never zero."""
        return _random.getrandbits(64) or 1

    def is_trace_id_random(self) -> bool:
        """Return True: the lower 56 bits are random, as the W3C random-trace-id flag promises."""
        return True
