# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
A container-less backend for the Backend.AI 23.09 agent, used by the realstack
test cluster.

Everything above the container runtime stays the released agent code: the RPC
server, the event producer, resource allocation, the life-cycle queue, the
heartbeats and the timers.  Only the abstract methods which would talk to a
container engine are filled in here: a "container" is an entry in a dict and a
configurable pause (``[standin]`` in agent.toml).

up.sh installs this directory as ``ai.backend.agent.dummy``, the name under
which the agent looks up ``backend = "dummy"``.  (The published wheel accepts
that setting but ships no module for it.)
"""

from .backend import StandInAgent


def get_agent_cls():
    return StandInAgent
