# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Starts and stops the stack of a release, with the plugin in every component and a desk that receives."""

import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from tests.realstack.stack.plugin import changed_versions, plugin_requirements, write_requirements
from tests.realstack.stack.settings import HERE, ROOT, Stack, StackError

# A first start downloads and compiles everything.
_INSTALL_TIMEOUT: Final = 1200
_START_TIMEOUT: Final = 900
_STOP_TIMEOUT: Final = 300


def start(stack: Stack, more: Mapping[str, str] | None = None) -> None:
    """Build the wheel, install it beside the release, and start everything that does not run yet.

    Args:
        stack: Where it is to run.
        more: Further variables for ``up.sh``, as :func:`resume` takes them.

    Raises:
        StackError: As :func:`install`, or a component does not start.
    """
    install(stack)
    resume(stack, more)


def install(stack: Stack) -> None:
    """Build the wheel and install it beside the release; nothing is started.

    Raises:
        StackError: Something is missing, or the plugin would change a package of the release.
    """
    stack.directory.mkdir(parents=True, exist_ok=True)
    plugin = write_requirements(stack)
    _script("up.sh", "--install", stack=stack, more=_environment(stack), timeout=_INSTALL_TIMEOUT)
    if changed := changed_versions(stack, plugin):
        raise StackError(f"the plugin changes packages of {stack.release}: {'; '.join(changed)}")
    sys.stdout.write(f"The wheel changes no package of {stack.release}.\n")


def resume(stack: Stack, more: Mapping[str, str] | None = None) -> None:
    """Start what does not run of a stack that is installed.

    Args:
        stack: What :func:`install` has installed.
        more: Further variables for ``up.sh``, also in the place of ours.

    Raises:
        StackError: A component does not start.
    """
    _script("up.sh", stack=stack, more=_environment(stack) | dict(more or {}), timeout=_START_TIMEOUT)


def relaunch(stack: Stack, plugged: Collection[str], more: Mapping[str, str] | None = None) -> None:
    """Start the components of a running stack anew, the named ones with the plugin and the others without.

    Args:
        stack: What :func:`start` has started; its databases and its desk go on.
        plugged: Names of components.
        more: Further variables for ``up.sh``.

    Raises:
        StackError: A name is not known, or a component does not start.
    """
    known = components(stack)
    if unknown := set(plugged) - set(known):
        raise StackError(f"{stack.release} has no component {', '.join(sorted(unknown))}")
    stop(stack, *known)
    environment = _environment(stack)
    prefix = environment["LAUNCH_PREFIX"]
    environment |= {"LAUNCH_PREFIX": "", **(more or {})}
    environment |= {f"LAUNCH_PREFIX_{name.upper().replace('-', '_')}": prefix for name in plugged}
    _script("up.sh", stack=stack, more=environment, timeout=_START_TIMEOUT)


def components(stack: Stack) -> list[str]:
    """The names of the components of a stack that has been up."""
    return client_environment(stack)["REALSTACK_COMPONENTS"].split()


def stop(stack: Stack, *names: str) -> None:
    """Stop the named components, or everything; what does not run is left."""
    _script("down.sh", *names, stack=stack, more={}, timeout=_STOP_TIMEOUT)


def clear(stack: Stack) -> None:
    """Stop everything, and take away what the stack has made: databases, folders, log files; nothing if it never ran.

    The installed release stays. What an earlier run did not end, a model service say, would go on in a later one.
    """
    _script("down.sh", "--wipe", stack=stack, more={}, timeout=_STOP_TIMEOUT)


def _environment(stack: Stack) -> dict[str, str]:
    return telemetry(stack) | {
        "REALSTACK_REQUIREMENTS": str(plugin_requirements(stack)),
        "REALSTACK_DESK": str(Path(sys.executable).parent / "otel-backendai"),
        "LAUNCH_PREFIX": os.environ.get("LAUNCH_PREFIX", "opentelemetry-instrument"),
    }


def telemetry(stack: Stack) -> dict[str, str]:
    """The environment that sends spans and log records to the desk of ``stack``."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack.desk_url,
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "1000",
    }


def client_telemetry(stack: Stack) -> dict[str, str]:
    """The same for a client that runs under the plugin, and what makes it one to the plugin."""
    return telemetry(stack) | {
        "OTEL_SERVICE_NAME": "client",
        "OTEL_BACKENDAI_COMPONENT": "client",
        # Storage-proxy, web server and app-proxy, to which the SDK's marker headers do not go.
        "OTEL_BACKENDAI_PEERS": "127.0.0.1",
    }


def client_environment(stack: Stack) -> dict[str, str]:
    """The variables that up.sh left for clients: endpoint, keys, image.

    Raises:
        StackError: The stack has never been up.
    """
    path = stack.directory / "client.env"
    if not path.exists():
        raise StackError(f"{path} is missing: the stack was not started")
    exports = (line.removeprefix("export ").partition("=") for line in path.read_text().splitlines())
    return {name: value.strip('"') for name, _, value in exports}


def _script(name: str, *arguments: str, stack: Stack, more: dict[str, str], timeout: int) -> None:
    environment = os.environ | more
    environment |= {
        "REALSTACK_RELEASE": stack.release,
        "REALSTACK_DIR": str(stack.directory),
        "REALSTACK_PORT_BASE": str(stack.port_base),
        "REALSTACK_PATIENCE": os.environ.get("REALSTACK_PATIENCE", "3"),
        # uv of the project's own environment, where the machine has none.
        "PATH": f"{os.environ['PATH']}:{Path(sys.executable).parent}",
    }
    sys.stdout.flush()
    done = subprocess.run([HERE / name, *arguments], env=environment, timeout=timeout, cwd=ROOT, check=False)
    if done.returncode:
        raise StackError(f"{name} of {stack.release} failed, see above")
