# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Background tasks by the installed release's own manager, above a real Redis: who they belong to, how they end."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from otel_backendai import request_id
from otel_backendai.hops import deferred
from otel_backendai.hops.span_scope import SpanScope
from otel_backendai.names import (
    ATTRIBUTE_BGTASK_ID,
    ATTRIBUTE_BGTASK_STATUS,
    ATTRIBUTE_ORIGIN_DETAIL,
    ATTRIBUTE_REQUEST_ID,
    SETTING_SESSION_STORE,
)
from tests.conftest import Telemetry
from tests.releases.bus import FAMILY, Bus, eventually, redis_object
from tests.releases.conftest import switch_off, switched_on

RECORDED = pytest.mark.releases(since="25.15")
NAME = "clone_vfolder"


def attribute(span: ReadableSpan, name: str) -> Any:
    """An attribute of a finished span."""
    return (span.attributes or {}).get(name)


def request_scope() -> SpanScope:
    """What a request runs in."""
    return SpanScope(deferred.HOP.tracer, "POST /clone", SpanKind.SERVER, request_id.bind("request-1", Context()))


def of_task(telemetry: Telemetry) -> list[ReadableSpan]:
    """The finished spans of tasks."""
    return [span for span in telemetry.spans if attribute(span, ATTRIBUTE_BGTASK_ID)]


async def ended(telemetry: Telemetry, count: int = 1) -> ReadableSpan:
    """The last of so many finished spans of tasks."""
    await eventually(lambda: len(of_task(telemetry)) == count)
    return of_task(telemetry)[-1]


@asynccontextmanager
async def manager(bus: Bus, port: int, work: Callable[[], Awaitable[None]]) -> AsyncIterator[Any]:
    """The release's manager of background tasks; tasks that it can find again do ``work``."""
    if FAMILY < (25, 13):
        module = importlib.import_module(f"ai.backend.common.bgtask{'.bgtask' if FAMILY >= (25, 8) else ''}")
        if not (25, 6) <= FAMILY < (25, 11):
            yield module.BackgroundTaskManager(bus.producer)
            return
        client = redis_object(port, 5)
        yield module.BackgroundTaskManager(client, bus.producer)
        await client.close()
        return
    module = importlib.import_module("ai.backend.common.bgtask.bgtask")
    types = importlib.import_module("ai.backend.common.types")
    clients = importlib.import_module("ai.backend.common.clients.valkey_client.valkey_bgtask.client")
    client = await clients.ValkeyBgtaskClient.create(types.ValkeyTarget(addr=f"127.0.0.1:{port}"), db_id=5)
    registry = importlib.import_module("ai.backend.common.bgtask.task.registry").BackgroundTaskHandlerRegistry()
    registry.register(_handler(work))
    options: dict[str, Any] = {
        "valkey_client": client,
        "server_id": "server",
        "tags": ["storage"],
        "task_registry": registry,
    }
    if hasattr(module, "BackgroundTaskManagerArgs"):
        made = module.BackgroundTaskManager(module.BackgroundTaskManagerArgs(bus.producer, **options))
    else:
        made = module.BackgroundTaskManager(bus.producer, **options)
        # Its loops begin at once; the test calls what they call.
        made._heartbeat_loop_task.cancel()
        made._retry_loop_task.cancel()
    try:
        yield made
    finally:
        await client.close()


def _name() -> Any:
    types = importlib.import_module("ai.backend.common.bgtask.types")
    if hasattr(types, "TaskName"):
        return types.TaskName(NAME)
    # An enumeration of each component, whose members are read by `.value`.
    return importlib.import_module("enum").StrEnum("Name", {"CLONE": NAME})(NAME)


def _arguments() -> Any:
    base = importlib.import_module("ai.backend.common.bgtask.task.base")
    if hasattr(base, "BaseBackgroundTaskManifest"):
        return type("Manifest", (base.BaseBackgroundTaskManifest,), {})

    def nothing(_: Any) -> dict[str, Any]:
        return {}

    names = {"to_redis_json": nothing, "from_redis_json": classmethod(lambda cls, _: cls())}
    return type("Arguments", (base.BaseBackgroundTaskArgs,), names)


def _handler(work: Callable[[], Awaitable[None]]) -> Any:
    base = importlib.import_module("ai.backend.common.bgtask.task.base")
    name, arguments = _name(), _arguments()

    async def execute(_: Any, __: Any) -> Any:
        await work()
        return base.EmptyTaskResult() if hasattr(base, "EmptyTaskResult") else None

    names = {
        "name": classmethod(lambda _: name),
        "args_type": classmethod(lambda _: arguments),
        "manifest_type": classmethod(lambda _: arguments),
        "execute": execute,
    }
    handler = type("Handler", (base.BaseBackgroundTaskHandler,), names)()
    handler.arguments = arguments
    return handler


def _manifest(made: Any) -> Any:
    definition = made._task_registry._executor_registry[_name() if FAMILY < (26, 4) else NAME]
    return getattr(definition, "_handler", definition).arguments()


async def revive(made: Any, bus: Bus) -> None:
    """What another process does with tasks whose process has not been heard of for some time."""
    client = bus.redis.__class__(host="127.0.0.1", port=bus.redis.connection_pool.connection_kwargs["port"], db=5)
    keys = [key async for key in client.scan_iter("bgtask:meta:*")]
    assert len(keys) == 1
    await client.expire(keys[0], 100)
    await client.aclose() if hasattr(client, "aclose") else await client.close()
    for found in await made._valkey_client.fetch_unmanaged_tasks(made._task_set_key):
        await made._retry_bgtask(found)


async def nothing() -> None:
    """What no task of this test does."""


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
async def test_a_task_of_this_process(end: str, telemetry: Telemetry, bus: Bus, redis_port: int) -> None:
    """Below its request, with its events, and its span says how it ended."""
    begun = asyncio.Event()

    async def rescan(reporter: Any) -> None:
        await reporter.update(1, message="half")
        begun.set()
        if end == "failed":
            raise LookupError("gone")
        if end == "cancelled":
            await asyncio.sleep(60)

    async with manager(bus, redis_port, nothing) as made:
        with request_scope():
            task_id = await made.start(rescan)
        await asyncio.wait_for(begun.wait(), 10)
        if end == "cancelled":
            # Releases from 25.15 on take a task out of the dict that they walk through.
            with suppress(RuntimeError):
                await asyncio.wait_for(made.shutdown(), 10)
        span = await ended(telemetry)
    (request,) = telemetry.of_kind(SpanKind.SERVER)
    assert span.context is not None
    assert request.context is not None
    assert (span.parent and span.parent.span_id) == request.context.span_id
    assert attribute(span, ATTRIBUTE_BGTASK_ID) == str(task_id)
    assert attribute(span, ATTRIBUTE_BGTASK_STATUS) == end
    assert (span.status.status_code is StatusCode.ERROR) is (end == "failed")
    events = telemetry.of_kind(SpanKind.PRODUCER)
    assert {event.name for event in events} == {"publish bgtask_updated", f"publish bgtask_{end}"}
    for event in events:
        assert event.context is not None
        assert event.context.trace_id == request.context.trace_id
        assert attribute(event, ATTRIBUTE_REQUEST_ID) == "request-1"


@RECORDED
@pytest.mark.parametrize("late", [False, True])
async def test_a_task_of_a_dead_process(
    late: bool, telemetry: Telemetry, bus: Bus, redis_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs it again continues the request that started it, which only the record in Redis names; later: linked."""
    seen: list[str | None] = []
    first, over = asyncio.Event(), asyncio.Event()

    async def clone() -> None:
        seen.append(request_id.read())
        if len(seen) == 1:
            first.set()
            await over.wait()

    async with manager(bus, redis_port, clone) as made:
        with request_scope():
            task_id = await made.start_retriable(_name(), _manifest(made))
        await asyncio.wait_for(first.wait(), 10)
        if late:
            monkeypatch.setattr(deferred, "MAX_AGE_OF_CHILD", -1.0)
        async with manager(bus, redis_port, clone) as other:
            await revive(other, bus)
            again = await ended(telemetry)
        over.set()
        await ended(telemetry, 2)
    (request,) = telemetry.of_kind(SpanKind.SERVER)
    assert seen == ["request-1", "request-1"]
    assert (again.name, attribute(again, ATTRIBUTE_BGTASK_ID)) == (NAME, str(task_id))
    assert attribute(again, ATTRIBUTE_REQUEST_ID) == "request-1"
    assert attribute(again, ATTRIBUTE_BGTASK_STATUS) == "done"
    assert request.context is not None
    # By trace: 26.9 has a span of its own around what it writes into Valkey.
    senders = [again.parent] if again.parent is not None else [link.context for link in again.links]
    assert [sender.trace_id for sender in senders] == [request.context.trace_id]
    assert (again.parent is None) is late


@RECORDED
@pytest.mark.parametrize("why", ["switched off", "hostile", "a process without the plugin"])
async def test_a_record_without_a_request(
    why: str, telemetry: Telemetry, bus: Bus, redis_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task runs all the same: a root under an ID of its own, which says where it comes from."""
    first, over, runs = asyncio.Event(), asyncio.Event(), list[str | None]()

    async def clone() -> None:
        runs.append(request_id.read())
        if len(runs) == 1:
            first.set()
            await over.wait()

    if why == "switched off":
        monkeypatch.setenv(SETTING_SESSION_STORE, "false")
    if why == "hostile":
        monkeypatch.setattr(
            "otel_backendai.releases.task_records.render_kept_value", lambda *_: '{"request_id": "a b", "time": 1}'
        )
    async with manager(bus, redis_port, clone) as made:
        if why == "a process without the plugin":
            switch_off()
        with request_scope():
            await made.start_retriable(_name(), _manifest(made))
        await asyncio.wait_for(first.wait(), 10)
        switched_on(telemetry)
        async with manager(bus, redis_port, clone) as other:
            await revive(other, bus)
            again = await ended(telemetry)
        over.set()
        await eventually(lambda: not made._ongoing_tasks or all(one.done() for one in made._ongoing_tasks.values()))
    assert again.parent is None
    assert attribute(again, ATTRIBUTE_ORIGIN_DETAIL) == "background"
    assert attribute(again, ATTRIBUTE_REQUEST_ID) == runs[1] != "request-1"


@RECORDED
async def test_a_task_is_recorded_as_without_us(telemetry: Telemetry) -> None:
    """A record that names a request is read by a release without the plugin, and one without it by us."""
    types = importlib.import_module("ai.backend.common.bgtask.types")
    uuid = importlib.import_module("uuid")
    name = _name() if FAMILY < (26, 4) else NAME
    info = types.TaskInfo(types.TaskID(uuid.uuid4()), name, types.TaskType.SINGLE, {}, 1)
    with request_scope():
        fields = info.to_valkey_hash_fields()
    stored = {key: value if isinstance(value, bytes) else value.encode() for key, value in fields.items()}
    switch_off()
    bare = info.to_valkey_hash_fields()
    assert {key: value for key, value in fields.items() if key != b"otel"} == bare
    assert set(fields) == {*bare, b"otel"}
    assert types.TaskInfo.from_valkey_hash_fields(stored) == info
    switched_on(telemetry)
    assert types.TaskInfo.from_valkey_hash_fields(stored) == info
    del stored[b"otel"]
    assert types.TaskInfo.from_valkey_hash_fields(stored) == info
