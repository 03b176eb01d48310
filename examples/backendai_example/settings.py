# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The settings of all components, read from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "EXAMPLE_"


@dataclass(frozen=True, slots=True)
class Settings:
    """One value per `EXAMPLE_*` variable; the defaults are Backend.AI's ports on loopback."""

    redis_url: str = "redis://127.0.0.1:6379"
    manager_port: int = 8081
    manager_workers: int = 2
    agent_addr: str = "tcp://127.0.0.1:6001"
    legacy_agent_addr: str = "tcp://127.0.0.1:6002"
    storage_port: int = 6022
    storage_client_port: int = 6021
    approxy_port: int = 10200
    wsproxy_port: int = 5050
    timer_interval: float = 10.0
    log_level: str = "INFO"
    log_format: str = "text"
    api_token: str = "example-api-token"  # noqa: S105  # not a secret: everything is on loopback
    storage_token: str = "example-storage-token"  # noqa: S105  # ditto
    approxy_token: str = "example-approxy-token"  # noqa: S105  # ditto

    @property
    def manager_url(self) -> str:
        return f"http://127.0.0.1:{self.manager_port}"

    @property
    def storage_url(self) -> str:
        return f"http://127.0.0.1:{self.storage_port}"

    @property
    def storage_client_url(self) -> str:
        return f"http://127.0.0.1:{self.storage_client_port}"

    @property
    def approxy_url(self) -> str:
        return f"http://127.0.0.1:{self.approxy_port}"

    @property
    def wsproxy_url(self) -> str:
        return f"http://127.0.0.1:{self.wsproxy_port}"


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environ` (default: the environment of this process).

    Absent variables take the default. Raises `ValueError` for a number that is none.
    """
    variables = os.environ if environ is None else environ
    defaults = Settings()

    def text(name: str, default: str) -> str:
        return variables.get(PREFIX + name, default)

    return Settings(
        redis_url=text("REDIS_URL", defaults.redis_url),
        manager_port=int(text("MANAGER_PORT", str(defaults.manager_port))),
        manager_workers=int(text("MANAGER_WORKERS", str(defaults.manager_workers))),
        agent_addr=text("AGENT_ADDR", defaults.agent_addr),
        legacy_agent_addr=text("LEGACY_AGENT_ADDR", defaults.legacy_agent_addr),
        storage_port=int(text("STORAGE_PORT", str(defaults.storage_port))),
        storage_client_port=int(text("STORAGE_CLIENT_PORT", str(defaults.storage_client_port))),
        approxy_port=int(text("APPROXY_PORT", str(defaults.approxy_port))),
        wsproxy_port=int(text("WSPROXY_PORT", str(defaults.wsproxy_port))),
        timer_interval=float(text("TIMER_INTERVAL", str(defaults.timer_interval))),
        log_level=text("LOG_LEVEL", defaults.log_level),
        log_format=text("LOG_FORMAT", defaults.log_format),
        api_token=text("API_TOKEN", defaults.api_token),
        storage_token=text("STORAGE_TOKEN", defaults.storage_token),
        approxy_token=text("APPROXY_TOKEN", defaults.approxy_token),
    )
