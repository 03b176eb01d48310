# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
Refuses connections to link-local addresses: Backend.AI asks the metadata services
of three clouds at import what it runs on, and nothing here may leave the machine.
up.sh puts it into the venv with a .pth line, so that spawned workers have it too.
"""

import errno
import os
import socket
from typing import Any

_connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex


def _off_machine(address: object) -> bool:
    return isinstance(address, tuple) and str(address[0]).startswith(("169.254.", "fe80:"))


def _refusing_connect(self: socket.socket, address: Any) -> None:
    if _off_machine(address):
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
    _connect(self, address)


def _refusing_connect_ex(self: socket.socket, address: Any) -> int:
    return errno.ENETUNREACH if _off_machine(address) else _connect_ex(self, address)


socket.socket.connect = _refusing_connect  # type: ignore[assignment, method-assign]  # what this module is for
socket.socket.connect_ex = _refusing_connect_ex  # type: ignore[assignment, method-assign]  # ditto
