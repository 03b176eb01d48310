# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The ways in: how a component comes to run under the plugin, as the project's README names them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from otel_backendai.names import SETTING_ACTIVATE


@dataclass(frozen=True, slots=True)
class Way:
    """How the components of a cluster are started.

    Attributes:
        title: What an operator does, for the table.
        variables: For ``up.sh``, which passes them on to the components.
        started: What the command line of every component has to look like.
        line: Whether the line of ``otel-backendai enable`` has to be in the environment.
    """

    title: str
    variables: Mapping[str, str]
    started: re.Pattern[str]
    line: bool = False


_NO_LAUNCHER: Final = r"(?<!opentelemetry-instrument) "

WAYS: Final[Mapping[str, Way]] = {
    "launcher": Way(
        "`opentelemetry-instrument backend.ai mgr start-server`",
        {"LAUNCH_PREFIX": "opentelemetry-instrument", "REALSTACK_START": "command", SETTING_ACTIVATE: ""},
        re.compile(r" opentelemetry-instrument backend\.ai \S+ start-server "),
    ),
    "command": Way(
        f"`{SETTING_ACTIVATE}=1 backend.ai mgr start-server`",
        {"LAUNCH_PREFIX": "", "REALSTACK_START": "command", SETTING_ACTIVATE: "1"},
        re.compile(_NO_LAUNCHER + r"backend\.ai \S+ start-server "),
    ),
    "pth": Way(
        f"`otel-backendai enable`, then `{SETTING_ACTIVATE}=1 python -m ai.backend.manager.server`",
        {"LAUNCH_PREFIX": "", "REALSTACK_START": "module", SETTING_ACTIVATE: "1"},
        re.compile(_NO_LAUNCHER + r"python -m ai\.backend\.[a-z.]+\.server "),
        line=True,
    ),
}
