# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Where Backend.AI makes tokens, and where clients bring them.

The storage-proxy makes those for uploads and downloads, when the manager asks for one, and a client brings them to the
storage-proxy: to any worker process of any node. An app is opened by three: the manager gets one from the app-proxy's
coordinator (wsproxy in 24.03), the client trades it there for one of the worker's, and that for a cookie with which it
comes to the app's own address. The API token of a model service is none of these: it is used for weeks.
"""

import functools
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from yarl import URL

from otel_backendai.component import component
from otel_backendai.guard import Guard
from otel_backendai.hops import tokens
from otel_backendai.hops.deferred import HOP
from otel_backendai.hops.tokens import Token, digest_of

_FRONTENDS = frozenset({"appproxy-worker", "wsproxy"})
# Those that tokens are brought to.
TOKEN_COMPONENTS = _FRONTENDS | {"storage-proxy", "appproxy-coordinator"}

# Where the token is in the query; `/v2/proxy/TOKEN/SESSION/add` is how older clients write `/v2/proxy/auth`.
_PATHS = frozenset({"/upload", "/download", "/download-archive", "/v2/proxy/auth", "/setup"})
_PARAMETER = "token"
_ADD_PREFIX = "/v2/proxy/"
_ADD_SUFFIX = "/add"
_PERMIT = "appproxy_permit"
# Seconds after which a call to an app is no part of its start any more: programs in a browser call it all day long.
_APP_START: Final = 60.0

_MAX_BODY: Final = 65_536
_LOCATIONS = ("redirect_url", "Location")

_MADE = Guard("tokens: made")


@HOP.wraps("ai.backend.storage.api.manager", "create_download_session")
@HOP.wraps("ai.backend.storage.api.manager", "create_upload_session")
@HOP.wraps("ai.backend.storage.api.manager", "ArchiveDownloadHandler.create_session")
@HOP.wraps("ai.backend.appproxy.coordinator.api.conf", "conf_v2")
@HOP.wraps("ai.backend.appproxy.coordinator.api.proxy", "proxy")
@HOP.wraps("ai.backend.appproxy.worker.api.setup", "setup")
@HOP.wraps("ai.backend.wsproxy.api.conf", "conf_v2")
@HOP.wraps("ai.backend.wsproxy.api.proxy", "proxy")
@HOP.wraps("ai.backend.wsproxy.api.setup", "setup")
def _wrap_maker(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def make(*args: Any, **kwargs: Any) -> Any:
        if HOP.active:
            # The client may come back within milliseconds; a connection to Redis takes as long.
            tokens.expect()
        response = await original(*args, **kwargs)
        if HOP.active:
            with _MADE:
                for token in made_tokens(response):
                    tokens.remember(token)
        return response

    return make


def made_tokens(response: Any) -> Iterator[str]:
    """The tokens that a response of one of the makers gives to the client.

    Args:
        response: aiohttp's, with a JSON body, or a redirect, maybe with a cookie.
    """
    answer: dict[str, Any] = {"Location": response.headers.get("Location")}
    body = getattr(response, "body", None)  # a stream has none
    if isinstance(body, bytes) and len(body) <= _MAX_BODY and response.content_type == "application/json":
        decoded = json.loads(body)
        answer |= decoded if isinstance(decoded, dict) else {}
    if isinstance(answer.get(_PARAMETER), str):
        yield answer[_PARAMETER]
    for name in _LOCATIONS:
        if not isinstance(answer.get(name), str):
            continue
        location = URL(answer[name])
        if _PARAMETER in location.query:
            yield location.query[_PARAMETER]
        permit = response.cookies.get(_PERMIT)
        if permit is not None:
            yield _at(permit.value, location.authority)


def brought_token(request: Any) -> Token | None:
    """The token that a request brings to this process; ``None`` for nearly all requests.

    Args:
        request: aiohttp's.
    """
    path = request.path
    if path in _PATHS:
        return _token(request.query.get(_PARAMETER))
    if path.startswith(_ADD_PREFIX) and path.endswith(_ADD_SUFFIX):
        return _token(path.removeprefix(_ADD_PREFIX).partition("/")[0])
    if component() in _FRONTENDS and _PERMIT in request.headers.get("Cookie", ""):
        permit = request.cookies.get(_PERMIT)
        return None if permit is None else _token(_at(permit, request.headers.get("Host", "")), _APP_START)
    return None


def _token(text: object, max_age: float | None = None) -> Token | None:
    digest = digest_of(text)
    return None if digest is None else Token(digest, max_age)


def _at(permit: str, authority: str) -> str:
    """A permit names the user, and is the same for all of their apps; where it is shown says which app is meant."""
    return f"{permit}@{authority.lower().removesuffix(':80').removesuffix(':443')}"
