# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What one worker of the manager holds: its connections and the tables behind them."""

from dataclasses import dataclass

import aiohttp

from .agent_client import PeerInvoker
from .event_hub import EventHub
from .manager_events import ManagerEventProducer
from .session_table import SessionTable
from .settings import Settings


@dataclass(frozen=True, slots=True)
class ManagerContext:
    """Given to every handler and background task."""

    settings: Settings
    http: aiohttp.ClientSession
    agent: PeerInvoker
    legacy_agent: PeerInvoker
    sessions: SessionTable
    events: ManagerEventProducer
    hub: EventHub
