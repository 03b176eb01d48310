# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The manager of the installed release asks an app-proxy for its status."""

import importlib
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from otel_backendai.api import bind_request_id
from tests.conftest import Telemetry
from tests.releases.conftest import switched_on
from tests.releases.test_user_traffic import serving

STATUS = {"version": "26.9.6", "api_version": "v2", "advertise_address": "http://proxy", "component": "appproxy"}

# Where a name of the function was taken before the plugin came.
ASKING = pytest.mark.parametrize(
    "module",
    [
        pytest.param("ai.backend.manager.api.scaling_group", marks=pytest.mark.releases(before="26.2")),
        pytest.param("ai.backend.manager.api.session", marks=pytest.mark.releases(before="25.2")),
        pytest.param(
            "ai.backend.manager.services.session.service", marks=pytest.mark.releases(since="25.6", before="26.2")
        ),
        pytest.param("ai.backend.manager.clients.appproxy.client", marks=pytest.mark.releases(since="26.3")),
    ],
)


@ASKING
async def test_the_app_proxy_is_asked_under_the_request_id(recorded: Telemetry, module: str) -> None:
    """Also where the plugin comes late; another call of the same path is one to anybody."""
    asking: Any = importlib.import_module(module)
    switched_on(recorded, "backendai_http_server")
    seen: list[dict[str, str]] = []

    async def status(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        return web.json_response(STATUS)

    app = web.Application()
    app.router.add_get("/status", status)
    async with serving(app) as url, aiohttp.ClientSession(url) as session:
        with bind_request_id("req-1"):
            if hasattr(asking, "AppProxyClient"):
                await asking.AppProxyClient(session, url, "token").fetch_status()
            else:
                await asking.query_wsproxy_status(url)
            async with session.get("/status"):
                pass
    assert seen[0]["X-Request-ID"] == "req-1"
    assert "traceparent" in seen[0]
    assert not {"X-Request-ID", "traceparent", "baggage"} & set(seen[1])
