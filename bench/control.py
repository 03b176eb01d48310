# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""How a process of the benchmark is asked: a line in, a line of JSON out; it ends when its standard input does."""

import asyncio
import json
import sys
from collections.abc import Callable


async def serve(first: object, answer: Callable[[], object]) -> None:
    """Say ``first``, then answer each line that arrives; return at the end of the input, also when the parent died."""
    _say(first)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        _say(answer())


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
