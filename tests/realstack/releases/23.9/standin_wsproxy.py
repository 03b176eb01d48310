# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""
Answers the calls which the 23.09 manager makes to an app proxy (wsproxy v2), so
that start-service and model services can run to their end.  Proxies nothing.
"""

import sys
import uuid

from aiohttp import web


async def status(request: web.Request) -> web.Response:
    return web.json_response({"api_version": "v2", "advertise_address": f"http://{request.host}"})


async def conf(request: web.Request) -> web.Response:
    body = await request.json()
    print("conf", dict(request.headers), body, flush=True)
    return web.json_response({"token": uuid.uuid4().hex})


async def endpoint_token(request: web.Request) -> web.Response:
    await request.read()
    return web.json_response({"token": uuid.uuid4().hex})


async def endpoint(request: web.Request) -> web.Response:
    await request.read()
    print(request.method, request.path, dict(request.headers), flush=True)
    return web.json_response({"endpoint": f"http://{request.host}/"})


app = web.Application()
app.router.add_get("/status", status)
app.router.add_post("/v2/conf", conf)
app.router.add_post("/v2/endpoints/{id}/token", endpoint_token)
app.router.add_post("/v2/endpoints/{id}", endpoint)
app.router.add_delete("/v2/endpoints/{id}", endpoint)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
