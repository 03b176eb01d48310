# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Where the cluster's Redis is: learnt when the release makes a client of its own for the events' database.

Up to 25.7 clients are redis-py's, made from a mapping (`EtcdRedisConfig`) or a `RedisTarget` that can be read like one;
later ones are valkey-glide's, made from a `ValkeyTarget`. What we ask goes over a small client of redis-py, which is a
dependency of the plugin: a glide client belongs to the loop that made it.
"""

import functools
from collections.abc import Callable
from typing import Any, cast

from otel_backendai.component import component
from otel_backendai.guard import Guard
from otel_backendai.hops import deferred, tokens
from otel_backendai.hops.context_store import TIMEOUT, ContextStore
from otel_backendai.hops.deferred import HOP
from otel_backendai.hops.kept_contexts import is_store_wanted
from otel_backendai.releases.tokens import TOKEN_COMPONENTS

# REDIS_STREAM_DB of all releases: the database of the events, which every component talks to.
_DATABASE = 4

_LEARN = Guard("redis address: learn")


@HOP.wraps("ai.backend.common.redis_helper", "get_redis_object")
def _wrap_get_redis_object(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def get_redis_object(redis_config: Any, *args: Any, **kwargs: Any) -> Any:
        made = original(redis_config, *args, **kwargs)
        if HOP.active:
            with _LEARN:
                _learn(redis_config, kwargs.get("db", 0))
        return made

    return get_redis_object


@HOP.wraps("ai.backend.common.clients.valkey_client.client", "create_valkey_client")
def _wrap_create_valkey_client(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def create_valkey_client(valkey_target: Any, db_id: Any, *args: Any, **kwargs: Any) -> Any:
        made = original(valkey_target, db_id, *args, **kwargs)
        if HOP.active:
            with _LEARN:
                _learn(valkey_target, db_id)
        return made

    return create_valkey_client


def _learn(target: Any, database: object) -> None:
    if database != _DATABASE or not is_store_wanted():
        return
    settings = {name: target.get(name) for name in ("addr", "sentinel", "service_name", "password", "use_tls")}
    settings["sentinel_password"] = target.get("sentinel_password") or settings["password"]
    settings["unverified"] = target.get("tls_skip_verify")
    connect = functools.partial(_client, settings)
    if deferred.sessions.store is None:
        deferred.sessions.store = ContextStore(connect)
    # Also when it is known: this process may be a fork of the one that learnt it.
    tokens.use_store(connect, deferred.sessions.store, listen=component() in TOKEN_COMPONENTS)


def _client(settings: dict[str, Any]) -> Any:
    """A redis-py client with a single connection, made when it is first used.

    Raises:
        Exception: No sentinel knows the master, or the address is none.
    """
    from redis import Redis, Sentinel

    options: dict[str, Any] = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT, "max_connections": 1}
    if settings["use_tls"]:
        options |= {"ssl": True, "ssl_cert_reqs": "none" if settings["unverified"] else "required"}
    if settings["sentinel"]:
        sentinels = [_host_and_port(one) for one in _several(settings["sentinel"])]
        # Any: redis-py 4.5 and 5 leave these untyped.
        found: Any = cast(Any, Sentinel)(
            sentinels, sentinel_kwargs={**options, "password": settings["sentinel_password"]}, **options
        )
        return found.master_for(settings["service_name"], password=settings["password"], db=_DATABASE)
    host, port = _host_and_port(settings["addr"])
    return Redis(host, port, db=_DATABASE, password=settings["password"], **options)


def _several(sentinels: Any) -> list[Any]:
    return sentinels.split(",") if isinstance(sentinels, str) else list(sentinels)


def _host_and_port(address: Any) -> tuple[str, int]:
    """Text (``HOST:PORT``) or a pair."""
    if isinstance(address, str):
        host, _, port = address.strip().rpartition(":")
        return host, int(port)
    return str(address[0]), int(address[1])
