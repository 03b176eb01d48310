# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Where the cluster's Redis is: learnt when the release makes a client of its own for the events' database.

Up to 25.10 clients are redis-py's, made from a mapping (`EtcdRedisConfig`) or a `RedisTarget` that can be read like
one; later ones are valkey-glide's. Their classes are wrapped, not the function that makes them: modules that import it
by name do so before the `backend.ai` command activates us. What we ask goes over a small client of redis-py, which is
a dependency of the plugin: a glide client belongs to the loop that made it.
"""

import functools
from collections.abc import Callable
from typing import Any, cast

from otel_backendai.component import component
from otel_backendai.guard import Guard
from otel_backendai.hops import deferred, tokens
from otel_backendai.hops.context_store import TIMEOUT, ContextStore
from otel_backendai.hops.deferred import HOP
from otel_backendai.hops.kept_settings import is_store_wanted
from otel_backendai.releases.arguments import Argument
from otel_backendai.releases.tokens import TOKEN_COMPONENTS

_VALKEY = "ai.backend.common.clients.valkey_client.client"

# REDIS_STREAM_DB of all releases: the database of the events, which every component talks to.
_DATABASE = 4

_LEARN = Guard("redis address: learn")


@HOP.wraps("ai.backend.common.redis_helper", "get_redis_object")
def _wrap_get_redis_object(original: Callable[..., Any]) -> Callable[..., Any]:
    target = Argument(original, 0)

    @functools.wraps(original)
    def get_redis_object(*args: Any, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        if HOP.active:
            with _LEARN:
                _learn(target.of(args, kwargs).get, kwargs.get("db", 0))
        return made

    return get_redis_object


@HOP.wraps(_VALKEY, "ValkeySentinelClient.__init__")
@HOP.wraps(_VALKEY, "ValkeyStandaloneClient.__init__")
def _wrap_valkey_client(original: Callable[..., None]) -> Callable[..., None]:
    target, database = Argument(original, 1), Argument(original, 2)

    @functools.wraps(original)
    def __init__(*args: Any, **kwargs: Any) -> None:  # noqa: N807  # the target's name
        original(*args, **kwargs)
        if HOP.active:
            with _LEARN:
                _learn(functools.partial(_setting, target.of(args, kwargs)), database.of(args, kwargs))

    return __init__


# What a `ValkeyStandaloneTarget` and a `ValkeySentinelTarget` call what older configurations have.
_VALKEY_NAMES = {"addr": "address", "sentinel": "sentinel_addresses"}


def _setting(target: object, name: str) -> Any:
    return getattr(target, _VALKEY_NAMES.get(name, name), None)


def _learn(read: Callable[[str], Any], database: object) -> None:
    """Ask Redis from now on, if this is the database of the events; ``read`` tells the settings of a client by name."""
    if database != _DATABASE or not is_store_wanted():
        return
    settings = {name: read(name) for name in ("addr", "sentinel", "service_name", "password", "use_tls")}
    own = read("sentinel_password")
    # An empty one is one: of sentinels that ask for none.
    settings["sentinel_password"] = settings["password"] if own is None else own
    settings["unverified"] = read("tls_skip_verify")
    connect = functools.partial(_client, settings)
    store = deferred.sessions.store or ContextStore(connect)
    # Also when it is known: this process may be a fork of the one that learnt it.
    for kept, listen in (
        (deferred.sessions, component() == "manager"),
        (tokens.tokens, component() in TOKEN_COMPONENTS),
    ):
        kept.use_store(connect, store, is_wanted=lambda: HOP.active, listen=listen)


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
