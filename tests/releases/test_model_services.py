# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Replicas that the installed release's controllers make and end: whose they are.

Only what stands around a controller is replaced (its database, its scheduler); its own methods are the released ones.
"""

import asyncio
import importlib
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, get_current_span

from otel_backendai import request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.background import run_scope
from otel_backendai.hops.kept_contexts import KeptContexts
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import (
    ATTRIBUTE_ENDPOINT_ID,
    ATTRIBUTE_ORIGIN_DETAIL,
    ATTRIBUTE_REQUEST_ID,
    SESSION_KEY_PREFIX,
)
from otel_backendai.releases import endpoint_owner, session_statuses
from tests.conftest import Telemetry
from tests.releases.bus import FAMILY, Bus, event_class, eventually
from tests.releases.test_deferred import make_a_client

DISPATCHER = pytest.mark.releases(before="25.12")
SOKOVAN = pytest.mark.releases(since="25.15")
_SOKOVAN = "ai.backend.manager.sokovan.deployment"


class Anything:
    """What stands around a controller: every method can be awaited and answers ``None``."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def __getattr__(self, name: str) -> Any:
        async def answer(*_: Any, **__: Any) -> Any:
            return self._answers.get(name)

        return answer


def request_scope(request: str) -> SpanScope:
    """What a request to the manager runs in."""
    return SpanScope(deferred.HOP.tracer, "POST /services", SpanKind.SERVER, request_id.bind(request, Context()))


def tick() -> SpanScope:
    """What a timer's run is."""
    return run_scope("tick", Context(), quiet=True)


def trace_of(telemetry: Telemetry, request: str) -> int:
    """The trace of a request."""
    spans = [span for span in telemetry.of_kind(SpanKind.SERVER) if _request_of(span) == request]
    assert len(spans) == 1
    context: Any = spans[0].context
    return int(context.trace_id)


def _request_of(span: Any) -> Any:
    return (span.attributes or {}).get(ATTRIBUTE_REQUEST_ID)


def request_of(entity: uuid.UUID) -> str | None:
    """Whose an entity is now."""
    kept = deferred.sessions.find(str(entity))
    return None if kept is None else request_id.read(kept.context)


def route(endpoint: uuid.UUID, session: uuid.UUID | None = None) -> Any:
    """A row of a replica, as the controllers of the release get it."""
    names = {"endpoint_id" if FAMILY < (26, 4) else "deployment_id": endpoint}
    return SimpleNamespace(
        route_id=uuid.uuid4(),
        session_id=session,
        revision_id=uuid.uuid4(),
        is_termination_grace_elapsed=lambda _: True,
        **names,
    )


async def destroy(endpoint: uuid.UUID, request: str) -> None:
    """A request that changes an endpoint."""
    controller = importlib.import_module(f"{_SOKOVAN}.deployment_controller").DeploymentController
    made = object.__new__(controller)
    made._deployment_repository = Anything()
    with request_scope(request):
        await made.destroy_deployment(endpoint)


async def provision(routes: Sequence[Any], made: Callable[[], uuid.UUID], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the release does with routes that have no session yet; ``made`` answers the session of a replica."""
    module = importlib.import_module(f"{_SOKOVAN}.route.executor")
    executor: Any = object.__new__(module.RouteExecutor)
    endpoints = {getattr(one, "deployment_id", None) or one.endpoint_id for one in routes}
    found = [SimpleNamespace(id=endpoint) for endpoint in endpoints]
    executor._deployment_repo = Anything(
        get_deployments_by_ids=found, get_endpoints_by_ids=found, fetch_route_session_group_ids={}
    )
    if FAMILY < (26, 4):
        scheduling = importlib.import_module("ai.backend.manager.sokovan.scheduling_controller.scheduling_controller")
        executor._scheduling_controller = object.__new__(scheduling.SchedulingController)

        async def resolve(*_: Any) -> None:
            made()
            raise LookupError("as far as this test goes")

        executor._scheduling_controller._resolve_scaling_group = resolve
        executor._scheduling_controller._metric_observer = SimpleNamespace(measure_phase=lambda *_: nullcontext())
        monkeypatch.setattr(module, "SessionCreationSpec", SimpleNamespace(from_deployment_info=_spec))
        with recording(routes):
            await executor.provision_routes(routes)
        return

    async def enqueue(_: Any) -> uuid.UUID:
        return made()

    executor._scheduling_controller = SimpleNamespace(enqueue_session_from_draft=enqueue)
    monkeypatch.setattr(module, "DeploymentSessionDraftBuilder", SimpleNamespace(build=_spec))
    with recording(routes):
        await executor.provision_routes(routes)


def recording(routes: Sequence[Any]) -> AbstractContextManager[Any]:
    """What a tick about these routes is written down by, from 26.1 on."""
    if FAMILY < (26, 1):
        return nullcontext()
    recorder = importlib.import_module(f"{_SOKOVAN}.route.recorder.context").RouteRecorderContext
    scope: AbstractContextManager[Any] = recorder.scope("test", entity_ids=[one.route_id for one in routes])
    return scope


def _spec(**options: Any) -> Any:
    return SimpleNamespace(**options)


@SOKOVAN
async def test_replicas_belong_to_who_wanted_them(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick makes the replicas of several endpoints, each in its request's trace; of an unknown one: the tick's."""
    first, second, unknown = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    await destroy(first, "request-1")
    await destroy(second, "request-2")
    seen: list[tuple[str | None, int]] = []

    def made() -> uuid.UUID:
        session = uuid.uuid4()
        session_statuses.created(session)
        seen.append((request_id.read(), get_current_span().get_span_context().trace_id))
        return session

    with tick():
        own = request_id.read()
        await provision([route(first), route(second), route(unknown), route(first)], made, monkeypatch)
    assert [request for request, _ in seen] == ["request-1", "request-2", own, "request-1"]
    traces = {request: trace_of(telemetry, request) for request in ("request-1", "request-2")}
    assert [trace for request, trace in seen if request != own] == [
        traces[request] for request, _ in seen if request in traces
    ]
    replicas = [span for span in telemetry.spans if span.name == "make replica"]
    assert [(span.attributes or {})[ATTRIBUTE_ENDPOINT_ID] for span in replicas] == [
        str(first),
        str(second),
        str(first),
    ]


@pytest.mark.releases(since="26.4")
async def test_another_managers_request(
    telemetry: Telemetry, bus: Bus, redis_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the cluster's Redis answers while a replica is made is in time: its session is the request's from there."""
    await make_a_client(redis_port)
    endpoint, session = uuid.uuid4(), uuid.uuid4()
    await destroy(endpoint, "request-1")
    later = KeptContexts(SESSION_KEY_PREFIX, 10, 60)
    later.store = deferred.sessions.store
    monkeypatch.setattr(deferred, "sessions", later)

    def made() -> uuid.UUID:
        session_statuses.created(session)
        return session

    with tick():
        await provision([route(endpoint)], made, monkeypatch)
    await eventually(lambda: request_of(session) == "request-1")


@SOKOVAN
async def test_the_end_of_a_replica(telemetry: Telemetry) -> None:
    """It belongs to the request that does not want it any more; what was made after that request is left alone."""
    endpoint, old, new = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    with request_scope("request-1"):
        session_statuses.created(old)
    await asyncio.sleep(0.01)
    await destroy(endpoint, "request-2")
    await asyncio.sleep(0.01)
    with request_scope("request-3"):
        session_statuses.created(new)
    executor: Any = object.__new__(importlib.import_module(f"{_SOKOVAN}.route.executor").RouteExecutor)
    executor._deployment_repo = executor._scheduling_controller = Anything()
    routes = [route(endpoint, old), route(endpoint, new), route(endpoint)]
    with tick(), recording(routes):
        await executor.terminate_routes(routes)
    assert (request_of(old), request_of(new)) == ("request-2", "request-3")


@SOKOVAN
async def test_the_autoscaler_is_nobodys_request(telemetry: Telemetry) -> None:
    """Its decision is a root with an origin, whose the replicas are from then on; no decision, no span."""
    module = importlib.import_module("ai.backend.manager.repositories.deployment.repository")
    repository: Any = object.__new__(module.DeploymentRepository)
    repository._db_source = Anything()
    endpoint, rule = uuid.uuid4(), uuid.uuid4()
    await destroy(endpoint, "request-1")
    replicas = SimpleNamespace(target_replica_count=1)
    deployment = SimpleNamespace(id=endpoint, replica_spec=replicas, replica=replicas)
    comparator = getattr(module, "AutoScalingMetricComparator", None)
    condition = SimpleNamespace(
        metric_source=module.AutoScalingMetricSource.INFERENCE_FRAMEWORK,
        metric_name="load",
        threshold="5",
        comparator=comparator and comparator.GREATER_THAN,
        scale_up_threshold=5,
        scale_down_threshold=None,
    )
    action = SimpleNamespace(step_size=1, min_replicas=None, max_replicas=None, cooldown_seconds=1)
    rules = [SimpleNamespace(id=rule, condition=condition, action=action, last_triggered_at=None)]

    async def decide(load: int) -> object:
        figures = {endpoint: {"load": {"current": load}}}
        metrics = SimpleNamespace(
            routes_by_endpoint={},
            routes_by_deployment={},
            endpoint_statistics=figures,
            deployment_statistics=figures,
        )
        with tick():
            return await repository.calculate_desired_replicas_for_deployment(deployment, rules, metrics)

    assert await decide(1) is None
    assert request_of(endpoint) == "request-1"
    assert not telemetry.of_kind(SpanKind.INTERNAL)
    assert await decide(10) == 2
    (decision,) = telemetry.of_kind(SpanKind.INTERNAL)
    assert (decision.name, decision.parent) == ("autoscale", None)
    assert (decision.attributes or {})[ATTRIBUTE_ORIGIN_DETAIL] == "background"
    assert request_of(endpoint) == _request_of(decision) != "request-1"


@pytest.mark.releases(since="25.8")
async def test_what_changes_an_endpoint(telemetry: Telemetry) -> None:
    """A change of a deployment, and the services of before the deployments; nothing that a timer does."""
    services = importlib.import_module(
        "ai.backend.manager.services.model_serving.services.model_serving"
    ).ModelServingService
    scaling = importlib.import_module("ai.backend.manager.services.model_serving.services.auto_scaling")
    service = object.__new__(services)
    modify = getattr(services, "modify_endpoint", None) or services.update_endpoint
    changes: list[Callable[[uuid.UUID], Any]] = [
        lambda one: service.delete(_action(one)),
        lambda one: service.delete_route(_action(one)),
        lambda one: modify(service, _action(one)),
        lambda one: object.__new__(scaling.AutoScalingService).scale_service_replicas(_action(one)),
    ]
    if FAMILY >= (25, 13):
        controller = object.__new__(importlib.import_module(f"{_SOKOVAN}.deployment_controller").DeploymentController)
        changes.append(lambda one: controller.update_deployment(one, None))
        changes.append(lambda one: controller.destroy_deployment(endpoint_id=one))
        if hasattr(controller, "activate_revision"):
            changes.append(lambda one: controller.activate_revision(deployment_id=one, revision_id=None))
    for change in changes:
        endpoint = uuid.uuid4()
        # None of them gets far without its database; what they are called for is known.
        with tick(), suppress(Exception):
            await change(endpoint)
        assert request_of(endpoint) is None
        with request_scope("request-1"), suppress(Exception):
            await change(endpoint)
        assert request_of(endpoint) == "request-1"


def _action(endpoint: uuid.UUID) -> Any:
    return SimpleNamespace(**{"service_id" if FAMILY < (26, 4) else "deployment_id": endpoint})


@SOKOVAN
async def test_a_new_deployment(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its ID from the database, so it is known when it is there."""
    endpoint = uuid.uuid4()
    module = importlib.import_module(f"{_SOKOVAN}.deployment_controller")
    controller: Any = object.__new__(module.DeploymentController)
    row = SimpleNamespace(id=endpoint)
    controller._deployment_repository = Anything(create_endpoint=row, create_endpoint_legacy=row)
    creator = SimpleNamespace(name="", project="", model_revision=None, options=0, policy=None)
    creator.metadata = SimpleNamespace(
        name="",
        domain="",
        project=uuid.uuid4(),
        resource_group="",
        created_user=uuid.uuid4(),
        session_owner=uuid.uuid4(),
        revision_history_limit=1,
        tag=None,
    )
    creator.replica_spec = SimpleNamespace(replica_count=1, desired_replica_count=None)
    creator.network = SimpleNamespace(open_to_public=False, url=None)

    async def same(_: Any) -> Any:
        return creator

    controller._apply_deployment_level_preset = controller._validate_model_revision = same
    if (25, 17) <= FAMILY < (26, 4):
        _is_drafted(creator, controller, module, monkeypatch)
    with request_scope("request-1"):
        await controller.create_deployment(creator)
    assert request_of(endpoint) == "request-1"


def _is_drafted(creator: Any, controller: Any, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """25.17 to 26.4.0 are given a draft, and make a revision of it first."""
    mounts = SimpleNamespace(model_vfolder_id=None)
    creator.draft_model_revision = SimpleNamespace(execution=SimpleNamespace(runtime_variant=""), mounts=mounts)
    creator.to_creator = lambda _: creator
    generator = Anything(generate_revision=SimpleNamespace(image_identifier=None))
    controller._revision_generator_registry = SimpleNamespace(get=lambda _: generator)
    controller._scheduling_controller = Anything()
    monkeypatch.setattr(module, "SessionValidationSpec", SimpleNamespace(from_revision=_spec))
    monkeypatch.setattr(module, "LegacyEndpointCreatorSpec", SimpleNamespace(from_deployment_creator=_spec))


@DISPATCHER
async def test_the_dispatchers_replicas(telemetry: Telemetry, bus: Bus) -> None:
    """A row is written and an event sent that names nothing but the row: handled in the request's trace."""
    api = importlib.import_module("ai.backend.manager.api.service")
    rows = importlib.import_module("ai.backend.manager.scheduler.dispatcher")
    endpoint = uuid.uuid4()
    with request_scope("request-1"):
        if FAMILY < (25, 8):
            endpoint = _endpoint(api.EndpointRow).id
        else:
            # Rows are made by a service from there on.
            endpoint_owner.changed(endpoint)
    request = SimpleNamespace(match_info={"service_id": str(endpoint)})
    for handler in (api.scale, api.delete, api.delete_route, api.clear_error):
        with request_scope("request-2"), suppress(Exception):
            await handler(request)
        assert request_of(endpoint) == "request-2"
        deferred.sessions.remember(str(endpoint), request_id.bind("request-1", Context()))
    with request_scope("request-3"), suppress(Exception):
        await api.scale(request)
    seen: list[tuple[str | None, int]] = []

    async def handle(*_: Any) -> None:
        seen.append((request_id.read(), get_current_span().get_span_context().trace_id))

    event = event_class("model_serving", "RouteCreated")
    bus.consume(event, handle)
    await bus.start()
    with (
        tick(),
        SpanScope(None, "", SpanKind.INTERNAL, deferred.with_shared_work(run_scope("", Context())._context)),
    ):
        made = rows.RoutingRow(uuid.uuid4(), endpoint, None, uuid.uuid4(), "default", uuid.uuid4())
        await bus.send(event(made.id))
    await eventually(lambda: seen)
    assert seen == [("request-3", trace_of(telemetry, "request-3"))]


def _endpoint(row: Any) -> Any:
    signature = importlib.import_module("inspect").signature(row.__init__.__wrapped__)
    wanted = [name for name, one in signature.parameters.items() if one.default is one.empty and name != "self"]
    return row(**{name: SimpleNamespace(id=None, name="") for name in wanted})


@pytest.mark.releases(since="25.12", before="26.2")
async def test_the_rows_of_a_repository(telemetry: Telemetry) -> None:
    """Where the dispatcher leaves the database to a repository, the rows that this makes are the request's."""
    cls = importlib.import_module("ai.backend.manager.repositories.schedule.repository").ScheduleRepository

    @asynccontextmanager
    async def begin_session() -> AsyncIterator[Any]:
        session: Any = Anything()
        session.add = lambda _: None
        yield session

    repository: Any = object.__new__(cls)
    repository._db = SimpleNamespace(begin_session=begin_session)
    first, second = (
        SimpleNamespace(id=uuid.uuid4(), session_owner=uuid.uuid4(), domain="default", project=uuid.uuid4())
        for _ in range(2)
    )
    with request_scope("request-1"):
        endpoint_owner.changed(first.id)
    with request_scope("request-2"):
        endpoint_owner.changed(second.id)
    with tick():
        made = await repository.create_routing_rows([(first, 2), (second, 1)])
    assert [request_of(route) for route in made] == ["request-1", "request-1", "request-2"]


@DISPATCHER
async def test_the_dispatcher_ends_a_replica(telemetry: Telemetry) -> None:
    """Scaled down, a session belongs to the request that scaled; others of the endpoint are left alone."""
    rows = importlib.import_module("ai.backend.manager.scheduler.dispatcher")
    registry = importlib.import_module("ai.backend.manager.registry").AgentRegistry
    endpoint, ended, kept = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    with request_scope("request-1"):
        for session in (ended, kept):
            session_statuses.created(session)
    await asyncio.sleep(0.01)
    with request_scope("request-2"):
        endpoint_owner.changed(endpoint)
    found = SimpleNamespace(
        id=endpoint,
        desired_session_count=1,
        routings=[SimpleNamespace(session=ended), SimpleNamespace(session=kept), SimpleNamespace(session=None)],
    )
    result = SimpleNamespace(scalars=lambda: SimpleNamespace(all=lambda: [found]))
    with SpanScope(None, "", SpanKind.INTERNAL, deferred.with_shared_work(Context())):
        assert await rows.EndpointRow.list(Anything(execute=result), load_routes=True) == [found]
        with suppress(Exception):
            await object.__new__(registry).destroy_session(SimpleNamespace(id=ended))
    assert (request_of(ended), request_of(kept)) == ("request-2", "request-1")
