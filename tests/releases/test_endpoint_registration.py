# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the installed release's manager tells the app-proxy about endpoints, from a timer: in whose trace, and as whom.

The app-proxy is a server of this test that notes what arrives; the manager's own methods call it.
"""

import importlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from otel_backendai import request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.background import run_scope
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import ATTRIBUTE_ENDPOINT_ID, ATTRIBUTE_REQUEST_ID, HEADER_REQUEST_ID
from otel_backendai.releases.endpoint_owner import changed
from tests.conftest import Telemetry
from tests.releases.bus import FAMILY

ONE_BY_ONE = pytest.mark.releases(since="25.15", before="26.1")
BULK = pytest.mark.releases(since="26.4")
DISPATCHER = pytest.mark.releases(before="25.16")
_EXECUTOR = "ai.backend.manager.sokovan.deployment.executor"


class Coordinator:
    """What stands in the app-proxy's place: notes the request IDs that calls have."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[tuple[str, str | None]] = []

    async def handle(self, request: web.Request) -> web.Response:
        """Answer any call with what a manager needs to go on."""
        self.calls.append((request.method, request.headers.get(HEADER_REQUEST_ID)))
        return web.json_response({"endpoint": "http://127.0.0.1:1/", "endpoints": []})


@pytest.fixture
async def coordinator() -> AsyncIterator[Coordinator]:
    """It listens."""
    made = Coordinator()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}"
    yield made
    await runner.cleanup()


def wanted_by(request: str) -> uuid.UUID:
    """The endpoint that a request has made, or changed last."""
    endpoint = uuid.uuid4()
    with SpanScope(deferred.HOP.tracer, "POST /services", SpanKind.SERVER, request_id.bind(request, Context())):
        changed(endpoint)
    return endpoint


async def in_a_timer(call: Callable[[], Any]) -> None:
    """What a controller's or scheduler's tick is, marked as their adapters do; what comes after the call may fail."""
    with run_scope("tick", Context(), quiet=True):
        shared = deferred.with_shared_work(context_api.get_current())
        with SpanScope(None, "", SpanKind.INTERNAL, shared), suppress(Exception):
            await call()


def assert_in_trace(telemetry: Telemetry, name: str, endpoint: uuid.UUID, request: str) -> None:
    """The call's CLIENT and SERVER spans are below a span of ours, which is below the request's; nothing is elsewhere.

    26.9 has spans of its own between ours and the CLIENT span.
    """
    (own,) = [span for span in telemetry.of_kind(SpanKind.INTERNAL) if span.name == name]
    (made,) = [span for span in telemetry.of_kind(SpanKind.SERVER) if span.name == "POST /services"]
    (client,) = telemetry.of_kind(SpanKind.CLIENT)
    (server,) = [span for span in telemetry.of_kind(SpanKind.SERVER) if span is not made]
    above = {span.context.span_id: span for span in telemetry.spans if span.context}
    for span, ancestor in ((own, made), (client, own), (server, client)):
        found: Any = span
        while found is not None and found is not ancestor:
            found = above.get(found.parent.span_id) if found.parent else None
        assert found is ancestor, (span.name, ancestor.name)
        assert (span.attributes or {})[ATTRIBUTE_REQUEST_ID] == request
    assert len({span.context.trace_id for span in telemetry.spans if span.context}) == 1
    assert (own.attributes or {})[ATTRIBUTE_ENDPOINT_ID] == str(endpoint)


def executor_of(http: aiohttp.ClientSession) -> Any:
    """The release's own executor of deployments, with a session of HTTP."""
    made: Any = object.__new__(importlib.import_module(_EXECUTOR).DeploymentExecutor)
    made._client_pool = SimpleNamespace(load_client_session=lambda _: http)
    return made


@ONE_BY_ONE
@pytest.mark.parametrize("name", ["register endpoint", "unregister endpoint"])
async def test_one_endpoint(telemetry: Telemetry, coordinator: Coordinator, name: str) -> None:
    """A timer's call about one endpoint is of the request that changed it last, at the coordinator, too."""
    endpoint = wanted_by("request-1")
    async with aiohttp.ClientSession(coordinator.url) as http:
        executor = executor_of(http)
        if name == "register endpoint":
            generator = SimpleNamespace(generate_model_definition=_definition)
            executor._model_definition_generator_registry = SimpleNamespace(get=lambda _: generator)
            target = SimpleNamespace(addr=coordinator.url, api_token="t")  # noqa: S106  # nobody's
            deployment = _deployment(endpoint)
            await in_a_timer(lambda: executor._register_endpoint(deployment, target))
        else:
            await in_a_timer(lambda: executor._delete_endpoint_from_wsproxy(endpoint, coordinator.url, "t"))
    assert [request for _, request in coordinator.calls] == ["request-1"]
    assert_in_trace(telemetry, name, endpoint, "request-1")


async def _definition(_: Any) -> Any:
    return SimpleNamespace(health_check_config=lambda: None)


def _deployment(endpoint: uuid.UUID) -> Any:
    variant = importlib.import_module("ai.backend.common.types").RuntimeVariant
    revision = SimpleNamespace(execution=SimpleNamespace(runtime_variant=next(iter(variant))))
    metadata = SimpleNamespace(name="one", session_owner=uuid.uuid4(), project=uuid.uuid4(), domain="default")
    network = SimpleNamespace(url=None, open_to_public=False)
    return SimpleNamespace(id=endpoint, metadata=metadata, network=network, target_revision=lambda: revision)


async def _unregister(coordinator: Coordinator, *endpoints: uuid.UUID) -> None:
    async with aiohttp.ClientSession(coordinator.url) as http:
        group = [SimpleNamespace(deployment_info=SimpleNamespace(id=endpoint)) for endpoint in endpoints]
        executor = executor_of(http)
        await in_a_timer(lambda: executor._dispatch_bulk_unregister(coordinator.url, "t", group, [], []))


@BULK
async def test_a_bulk_call_about_one_endpoint(telemetry: Telemetry, coordinator: Coordinator) -> None:
    """It is that endpoint's, at the coordinator, too."""
    endpoint = wanted_by("request-1")
    await _unregister(coordinator, endpoint)
    assert coordinator.calls == [("DELETE", "request-1")]
    assert_in_trace(telemetry, "unregister endpoint", endpoint, "request-1")


@BULK
async def test_a_bulk_registration(
    telemetry: Telemetry, coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries hold the deployment first."""
    module = importlib.import_module(_EXECUTOR)
    endpoint = wanted_by("request-1")
    body = SimpleNamespace(model_dump=lambda **_: {})
    monkeypatch.setattr(module, "BulkCreateEndpointRequest", lambda **_: body)
    async with aiohttp.ClientSession(coordinator.url) as http:
        executor = executor_of(http)

        async def build(*_: Any) -> None:
            return None

        executor._build_endpoint_item = build
        entry = (SimpleNamespace(deployment_info=SimpleNamespace(id=endpoint)), uuid.uuid4(), None)
        await in_a_timer(lambda: executor._dispatch_bulk_register(coordinator.url, "t", [entry], [], []))
    assert coordinator.calls == [("POST", "request-1")]
    assert_in_trace(telemetry, "register endpoint", endpoint, "request-1")


@BULK
async def test_a_bulk_call_about_several(telemetry: Telemetry, coordinator: Coordinator) -> None:
    """It is in the trace of none of them, under an ID of its own, and linked to each."""
    await _unregister(coordinator, wanted_by("request-1"), wanted_by("request-2"), uuid.uuid4())
    ((_, called),) = coordinator.calls
    (own,) = [span for span in telemetry.of_kind(SpanKind.INTERNAL) if span.name == "unregister endpoint"]
    requests = [span for span in telemetry.of_kind(SpanKind.SERVER) if span.name == "POST /services"]
    assert own.parent is None
    assert (own.attributes or {})[ATTRIBUTE_REQUEST_ID] == called not in ("request-1", "request-2")
    assert {link.context.span_id for link in own.links} == {span.context.span_id for span in requests if span.context}


@BULK
async def test_routes(telemetry: Telemetry, coordinator: Coordinator) -> None:
    """Those of one endpoint are told of in its request's trace."""
    module = importlib.import_module("ai.backend.manager.sokovan.deployment.route.executor")
    client = importlib.import_module("ai.backend.manager.clients.appproxy.client").AppProxyClient
    endpoint = wanted_by("request-1")
    deployment = SimpleNamespace(id=endpoint, metadata=SimpleNamespace(resource_group="default"))
    target = SimpleNamespace(addr=coordinator.url, api_token="t")  # noqa: S106  # nobody's

    async def deployments(_: Any) -> list[Any]:
        return [deployment]

    async def targets(_: Any) -> dict[str, Any]:
        return {"default": target}

    route = SimpleNamespace(route_id=uuid.uuid4(), deployment_id=endpoint)
    async with aiohttp.ClientSession(coordinator.url) as http:
        executor: Any = object.__new__(module.RouteExecutor)
        names = ("fetch_resource_group_proxy_targets", "fetch_scaling_group_proxy_targets")
        executor._deployment_repo = SimpleNamespace(get_deployments_by_ids=deployments, **dict.fromkeys(names, targets))
        pool = SimpleNamespace(load_client=lambda addr, token: client(http, addr, token))
        executor._appproxy_client_pool = pool
        await in_a_timer(lambda: executor.unregister_routes_now([route]))
    assert [request for _, request in coordinator.calls] == ["request-1"]
    assert_in_trace(telemetry, "unregister routes", endpoint, "request-1")


@DISPATCHER
async def test_the_schedulers_deregistration(telemetry: Telemetry, coordinator: Coordinator) -> None:
    """The scheduler of up to 25.15 takes an endpoint off in a run over all of them: in the deleting request's trace."""
    registry: Any = object.__new__(importlib.import_module("ai.backend.manager.registry").AgentRegistry)
    endpoint = wanted_by("request-1")
    group: Any = {"wsproxy_addr": coordinator.url, "wsproxy_api_token": "t"}

    async def execute(_: Any) -> Any:
        return SimpleNamespace(first=lambda: group)

    async with aiohttp.ClientSession(coordinator.url) as http:
        client_module = "ai.backend.manager.clients.wsproxy.client"
        if hasattr(registry, "_load_app_proxy_client"):
            client = importlib.import_module(client_module)
            kind = getattr(client, "AppProxyClient", None) or client.WSProxyClient
            registry._load_app_proxy_client = lambda addr, token: kind(http, addr, token)
        row = SimpleNamespace(id=endpoint, resource_group="default")
        await in_a_timer(lambda: registry.delete_appproxy_endpoint(SimpleNamespace(execute=execute), row))
    assert coordinator.calls == [("DELETE", "request-1")]
    assert_in_trace(telemetry, "unregister endpoint", endpoint, "request-1")


async def test_a_request_that_calls_at_once(telemetry: Telemetry) -> None:
    """Is what it is: nothing is put between it and what it does."""
    registry: Any = object.__new__(importlib.import_module("ai.backend.manager.registry").AgentRegistry)
    endpoint = wanted_by("request-1")
    context = request_id.bind("request-2", Context())
    with SpanScope(deferred.HOP.tracer, "PUT", SpanKind.SERVER, context), suppress(Exception):
        await registry.delete_appproxy_endpoint(None, SimpleNamespace(id=endpoint, resource_group="default"))
    assert not telemetry.of_kind(SpanKind.INTERNAL)


async def test_an_endpoint_that_nobody_knows(telemetry: Telemetry) -> None:
    """The timer's run stays asleep."""
    registry: Any = object.__new__(importlib.import_module("ai.backend.manager.registry").AgentRegistry)
    row = SimpleNamespace(id=uuid.uuid4(), resource_group="default")
    await in_a_timer(lambda: registry.delete_appproxy_endpoint(None, row))
    assert not telemetry.spans


def test_this_release_is_one_of_them() -> None:
    """Every release has the scheduler's way or the controllers'."""
    assert FAMILY < (25, 16) or hasattr(importlib.import_module(_EXECUTOR), "DeploymentExecutor")
