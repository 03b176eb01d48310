# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Where a request makes or changes the endpoint of a model service (a deployment, from 26.4 on): 25.15 and later."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from otel_backendai.guard import Guard
from otel_backendai.hops.deferred import HOP
from otel_backendai.releases.endpoint_owner import changed

Coroutine = Callable[..., Awaitable[Any]]

_CONTROLLER = "ai.backend.manager.sokovan.deployment.deployment_controller"
_SERVICE = "ai.backend.manager.services.model_serving.services.model_serving"
_SCALING = "ai.backend.manager.services.model_serving.services.auto_scaling"

_KEEP = Guard("endpoint changes: keep")


def _changes(endpoint_of: Callable[..., object]) -> Callable[[Coroutine], Coroutine]:
    """A factory for a method by which a request changes the endpoint that ``endpoint_of`` takes from its arguments."""

    def wrap(original: Coroutine) -> Coroutine:
        @functools.wraps(original)
        async def change(self: Any, *args: Any, **kwargs: Any) -> Any:
            if HOP.active:
                with _KEEP:
                    changed(endpoint_of(*args, **kwargs))
            return await original(self, *args, **kwargs)

        return change

    return wrap


def _of_action(action: Any) -> object:
    names = ("deployment_id", "endpoint_id", "service_id")
    return next((getattr(action, name) for name in names if hasattr(action, name)), None)


def _first(*args: Any, endpoint_id: Any = None, deployment_id: Any = None, **_: Any) -> object:
    return args[0] if args else endpoint_id or deployment_id


for _name in ("update_deployment", "destroy_deployment", "activate_revision"):
    HOP.wraps(_CONTROLLER, f"DeploymentController.{_name}")(_changes(_first))
for _name in ("delete", "delete_route", "modify_endpoint", "update_endpoint"):
    HOP.wraps(_SERVICE, f"ModelServingService.{_name}")(_changes(_of_action))
HOP.wraps(_SCALING, "AutoScalingService.scale_service_replicas")(_changes(_of_action))


@HOP.wraps(_CONTROLLER, "DeploymentController.create_deployment")
@HOP.wraps(_SERVICE, "ModelServingService.create")
def _wrap_create(original: Coroutine) -> Coroutine:
    @functools.wraps(original)
    async def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = await original(self, *args, **kwargs)
        if HOP.active:
            with _KEEP:
                data = getattr(result, "data", None)
                changed(getattr(data, "endpoint_id", None) if data is not None else getattr(result, "id", None))
        return result

    return create
