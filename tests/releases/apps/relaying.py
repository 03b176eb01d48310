# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Backend.AI's own Logger with all its text and JSON drivers: a parent with the log thread, a worker that logs.

``python -m tests.releases.apps.relaying DIRECTORY LOGSTASH_PORT COLORED [on|off]``
"""

import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any


def configuration(directory: Path, port: int, colored: bool) -> dict[str, Any]:
    """The `[logging]` section of a component."""
    return {
        "level": "INFO",
        "drivers": ["console", "file", "logstash"],
        "pkg-ns": {"": "WARNING", "ai.backend": "INFO"},
        "console": {"colored": colored, "format": "verbose"},
        "file": {
            "path": str(directory),
            "filename": "component.log",
            "backup-count": 1,
            "rotation-size": "10M",
            "format": "verbose",
        },
        "logstash": {
            "endpoint": {"host": "127.0.0.1", "port": port},
            "protocol": "udp",
            "ssl-enabled": False,
            "ssl-verify": False,
        },
    }


def make_logger(section: dict[str, Any], is_master: bool, endpoint: str) -> Any:
    """The release's Logger."""
    host, port = section["logstash"]["endpoint"].values()
    try:
        from ai.backend.common import msgpack
        from ai.backend.logging import Logger
    except ImportError:
        from ai.backend.common.logging import Logger

        section["logstash"]["endpoint"] = f"{host}:{port}"
        return Logger(section, is_master=is_master, log_endpoint=endpoint)
    options = {"pack_opts": msgpack.DEFAULT_PACK_OPTS, "unpack_opts": msgpack.DEFAULT_UNPACK_OPTS}
    settings: Any = section
    try:
        from ai.backend.logging.config import LoggingConfig
    except ImportError:
        # Up to 25.12 it is a mapping.
        section["logstash"]["endpoint"] = (host, port)
    else:
        settings = LoggingConfig.model_validate(section)
    return Logger(settings, is_master=is_master, log_endpoint=endpoint, msgpack_options=options)


class UnpicklableError(Exception):
    """An exception that no pickle takes."""

    def __init__(self) -> None:
        super().__init__(threading.Lock())


def work() -> None:
    """Log in and outside of requests, as the worker's handlers do."""
    try:
        from ai.backend.logging import BraceStyleAdapter
    except ImportError:
        from ai.backend.common.logging import BraceStyleAdapter
    from opentelemetry.trace import get_tracer

    from otel_backendai.api import bind_request_id

    log = BraceStyleAdapter(logging.getLogger("ai.backend.test"))
    log.info("outside {}", 1)  # noqa: PLE1205  # braces: Backend.AI's own style
    with bind_request_id("req-1"):
        log.info("inside {}", 2)  # noqa: PLE1205  # ditto
        with get_tracer("test").start_as_current_span("span"):
            log.warning("spanned")
            try:
                raise UnpicklableError
            except UnpicklableError:
                log.exception("failed")
        try:
            from ai.backend.logging.utils import with_log_context_fields
        except ImportError:
            pass
        else:
            with with_log_context_fields({"request_id": None}):
                log.info("null field")
            with with_log_context_fields({"request_id": "hostile\x1b[31m"}):
                log.info("hostile field")
            log.info("own field", extra={"request_id": "own"})
    log.info("after")


def main() -> None:
    """Log from a forked worker through the parent's thread."""
    directory, port, colored, *plugin = sys.argv[1:]
    if "on" in plugin:
        from otel_backendai.activation import activate

        activate()
    endpoint = f"ipc://{directory}/log.sock"
    section = configuration(Path(directory), int(port), colored == "colored")
    with make_logger(section, True, endpoint):
        child = os.fork()
        if child == 0:
            try:
                with make_logger(configuration(Path(directory), int(port), False), False, endpoint):
                    work()
                    time.sleep(0.5)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        time.sleep(0.5)


if __name__ == "__main__":
    main()
