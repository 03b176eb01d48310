# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The resource of *this* process: its instance ID and pid follow a fork."""

import os
import uuid
from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.resources import OTELResourceDetector, Resource, ResourceDetector
from opentelemetry.semconv.attributes.service_attributes import SERVICE_NAME

from otel_backendai.component import component

# `SERVICE_INSTANCE_ID` and `PROCESS_PID` are in private modules of the older trains.
SERVICE_INSTANCE_ID = "service.instance.id"
PROCESS_PID = "process.pid"

_UNKNOWN_SERVICE = "unknown_service"


class ProcessResource(Resource):
    """A resource whose ``service.instance.id`` and ``process.pid`` are those of the process that asks.

    Tracers keep the resource that they were made with, often at import and so before the fork; the SDK of the 1.39
    train never renews it in a worker, and that of 1.44 replaces an instance ID that the operator has set.

    Args:
        base: What all processes of the component share. An instance ID in it is extended in workers, not replaced:
            ``ID-1`` for worker 1.
    """

    def __init__(self, base: Resource) -> None:
        super().__init__(base.attributes, base.schema_url)
        self._instance_id = base.attributes.get(SERVICE_INSTANCE_ID)
        self._owner = os.getpid()
        self._worker: int | None = None
        self._seen = 0
        self._current: Mapping[str, Any] = {}
        self._adopted: dict[str, Any] = {}
        self._random: dict[int, str] = {}

    def adopt(self, attributes: Mapping[str, Any]) -> None:
        """Take over what the component says about itself; what the operator set by environment stays.

        Args:
            attributes: Of the component's own configuration. An instance ID in it is left out: Backend.AI's is the
                same in all workers.
        """
        kept = {SERVICE_INSTANCE_ID, PROCESS_PID, *OTELResourceDetector().detect().attributes}
        self._adopted = {name: value for name, value in attributes.items() if name not in kept}
        self._seen = 0

    def enter_worker(self, index: int) -> None:
        """Name this process as worker ``index`` of its component."""
        self._worker = index
        self._seen = 0

    @property
    def attributes(self) -> Any:
        """The attributes of the process that asks."""
        pid = os.getpid()
        if pid != self._seen:
            own = {**self._adopted, SERVICE_INSTANCE_ID: self._instance(pid), PROCESS_PID: pid}
            self._current = Resource(super().attributes).merge(Resource(own)).attributes
            self._seen = pid
        return self._current

    def _instance(self, pid: int) -> str:
        if not self._instance_id:
            # One per process, also when its attributes are put together again, and by two exporting threads at once: a
            # lock might be held at a fork, and `setdefault` is one step.
            return self._random.get(pid) or self._random.setdefault(pid, str(uuid.uuid4()))
        if self._worker is not None:
            return f"{self._instance_id}-{self._worker}"
        return str(self._instance_id) if pid == self._owner else f"{self._instance_id}-{pid}"

    def merge(self, other: Resource) -> "ProcessResource":
        """Return itself: the newest SDK merges a random instance ID into the resource after each fork."""
        return self

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def create_resource(auto_instrumentation_version: str | None = None) -> ProcessResource:
    """Return the resource of this process: what the operator set, completed by component, instance and pid.

    ``service.name`` is the operator's (``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``), else the component's.
    """
    given = {"telemetry.auto.version": auto_instrumentation_version} if auto_instrumentation_version else {}
    base = Resource.create(given)
    return ProcessResource(base.merge(BackendAIResourceDetector().complete(base)))


class BackendAIResourceDetector(ResourceDetector):
    """Entry point ``backendai``: ``service.name`` by component, for those who keep the stock configurator."""

    def detect(self) -> Resource:
        """Return the component as ``service.name``, instance ID and pid; each absent where the operator has set it.

        Detectors are merged in no stated order, so what the operator set can only win by our silence.
        """
        found: dict[str, Any] = {SERVICE_INSTANCE_ID: str(uuid.uuid4()), PROCESS_PID: os.getpid()}
        name = component()
        if name:
            found[SERVICE_NAME] = name
        given = OTELResourceDetector().detect().attributes
        return Resource({key: value for key, value in found.items() if key not in given})

    def complete(self, base: Resource) -> Resource:
        """Return the service name that ``base`` lacks, if this process is a component of Backend.AI."""
        name = component()
        if name and str(base.attributes.get(SERVICE_NAME, _UNKNOWN_SERVICE)).startswith(_UNKNOWN_SERVICE):
            return Resource({SERVICE_NAME: name})
        return Resource({})
