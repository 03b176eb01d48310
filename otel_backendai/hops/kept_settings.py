# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""How many contexts are kept, how long, and whether in Redis as well: what the settings say."""

import os
from typing import Final

from otel_backendai.names import SETTING_SESSION_LIMIT, SETTING_SESSION_STORE, SETTING_SESSION_TTL

# How many of a kind a process remembers, and how long Redis does, in seconds.
DEFAULT_LIMIT: Final = 10_000
DEFAULT_TTL: Final = 86_400


def _number(setting: str, default: int) -> int:
    text = os.environ.get(setting, "").strip()
    return int(text) if text.isdecimal() and 0 < len(text) <= 9 else default


def configured_limit() -> int:
    """How many of a kind are remembered: ``OTEL_BACKENDAI_SESSION_LIMIT``."""
    return _number(SETTING_SESSION_LIMIT, DEFAULT_LIMIT)


def configured_ttl() -> int:
    """Seconds that Redis keeps them: ``OTEL_BACKENDAI_SESSION_TTL``."""
    return _number(SETTING_SESSION_TTL, DEFAULT_TTL)


def is_store_wanted() -> bool:
    """Whether contexts are kept in Redis as well; not so with ``OTEL_BACKENDAI_SESSION_STORE=false``."""
    return os.environ.get(SETTING_SESSION_STORE, "").strip().lower() not in ("0", "false")
