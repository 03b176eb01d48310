# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the newest adapters expect to find, so that a release which came after them is told apart from a known one.

An adapter binds to whatever is there: in a release that is not known yet, a hop whose target is gone would go missing
without a word. So there is one warning per component, which names what was not found.
"""

import logging
import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_logger = logging.getLogger(__name__)

# The newest family that the adapters were tried with, and what they need of it (module, dotted attribute).
NEWEST_FAMILY = (26, 9)
DISTRIBUTION = "backend.ai-common"
# "ai", "backend", the component: one that is not installed here lacks nothing.
_COMPONENT_DEPTH = 3
TARGETS: tuple[tuple[str, str], ...] = (
    ("ai.backend.agent.agent", "AbstractAgent._handle_clean_event"),
    ("ai.backend.agent.agent", "AbstractAgent._handle_destroy_event"),
    ("ai.backend.agent.agent", "AbstractAgent._handle_start_event"),
    ("ai.backend.agent.agent", "AbstractAgent.process_lifecycle_events"),
    ("ai.backend.agent.types", "ContainerLifecycleEvent.__init__"),
    ("ai.backend.appproxy.coordinator.api.conf", "conf_v2"),
    ("ai.backend.appproxy.coordinator.api.proxy", "proxy"),
    ("ai.backend.appproxy.coordinator.server", "request_context_aware_middleware"),
    ("ai.backend.appproxy.worker.api.setup", "setup"),
    ("ai.backend.appproxy.worker.coordinator_client", "_get_request_headers"),
    ("ai.backend.appproxy.worker.proxy.backend.http", "HTTPBackend.proxy_http"),
    ("ai.backend.appproxy.worker.proxy.backend.http", "HTTPBackend.proxy_ws"),
    ("ai.backend.appproxy.worker.server", "api_middleware"),
    ("ai.backend.appproxy.worker.server", "request_context_aware_middleware"),
    ("ai.backend.common.bgtask.bgtask", "BackgroundTaskManager._execute_new_task"),
    ("ai.backend.common.bgtask.bgtask", "BackgroundTaskManager._revive_task"),
    ("ai.backend.common.bgtask.bgtask", "BackgroundTaskManager._wrapper_task"),
    ("ai.backend.common.bgtask.task.registry", "BackgroundTaskHandlerRegistry.execute_new_task"),
    ("ai.backend.common.bgtask.task.registry", "BackgroundTaskHandlerRegistry.revive_task"),
    ("ai.backend.common.bgtask.types", "TaskInfo.from_valkey_hash_fields"),
    ("ai.backend.common.bgtask.types", "TaskInfo.to_valkey_hash_fields"),
    ("ai.backend.common.clients.valkey_client.client", "ValkeySentinelClient.__init__"),
    ("ai.backend.common.clients.valkey_client.client", "ValkeyStandaloneClient.__init__"),
    ("ai.backend.common.contexts.request_id", "_request_id_var"),
    ("ai.backend.common.cron.local_cron", "LocalCron._run_task"),
    ("ai.backend.common.events.dispatcher", "CoalescingState.rate_control"),
    ("ai.backend.common.events.dispatcher", "EventDispatcher._dispatch_consumers"),
    ("ai.backend.common.events.dispatcher", "EventDispatcher._dispatch_subscribers"),
    ("ai.backend.common.events.dispatcher", "EventDispatcher._handle"),
    ("ai.backend.common.events.dispatcher", "EventProducer.anycast_and_broadcast_event"),
    ("ai.backend.common.events.dispatcher", "EventProducer.anycast_event"),
    ("ai.backend.common.events.dispatcher", "EventProducer.broadcast_event"),
    ("ai.backend.common.events.dispatcher", "EventProducer.broadcast_event_with_cache"),
    ("ai.backend.common.events.dispatcher", "EventProducer.broadcast_events_batch"),
    ("ai.backend.common.health_checker.probe", "HealthProbe.check_all"),
    ("ai.backend.common.leader.tasks.leader_cron", "LeaderCron._run_task"),
    ("ai.backend.common.message_queue.payload", "AnycastMessagePayload.from_event_body"),
    ("ai.backend.common.message_queue.payload", "AnycastMessagePayload.from_stream_fields"),
    ("ai.backend.common.message_queue.payload", "AnycastMessagePayload.to_stream_fields"),
    ("ai.backend.common.message_queue.payload", "BroadcastMessagePayload.from_event_body"),
    ("ai.backend.common.message_queue.payload", "BroadcastMessagePayload.from_json"),
    ("ai.backend.common.message_queue.payload", "BroadcastMessagePayload.to_json"),
    ("ai.backend.common.message_queue.redis_queue", "RedisQueue.broadcast"),
    ("ai.backend.common.message_queue.redis_queue", "RedisQueue.broadcast_batch"),
    ("ai.backend.common.message_queue.redis_queue", "RedisQueue.broadcast_with_cache"),
    ("ai.backend.common.message_queue.redis_queue", "RedisQueue.consume_queue"),
    ("ai.backend.common.message_queue.redis_queue", "RedisQueue.send"),
    ("ai.backend.common.message_queue.redis_queue", "RedisQueue.subscribe_queue"),
    ("ai.backend.common.message_queue.types", "MessageMetadata.apply_context"),
    ("ai.backend.common.message_queue.types", "MessageMetadata.continue_trace"),
    ("ai.backend.common.middlewares.request_id", "with_request_id"),
    ("ai.backend.common.redis_helper", "get_redis_object"),
    ("ai.backend.common.runner.types", "Runner._run_observer"),
    ("ai.backend.logging.formatter", "ColorizedFormatter.formatMessage"),
    ("ai.backend.logging.formatter", "ConsoleFormatter.formatMessage"),
    ("ai.backend.logging.handler.intrinsic", "RelayHandler.emit"),
    ("ai.backend.logging.handler.intrinsic", "msgpack"),
    ("ai.backend.logging.handler.logstash", "LogstashHandler.emit"),
    ("ai.backend.logging.handler.logstash", "OrderedDict"),
    ("ai.backend.logging.otel", "apply_otel_loggers"),
    ("ai.backend.logging.otel", "apply_otel_tracer"),
    ("ai.backend.logging.otel", "build_otel_server_middleware"),
    ("ai.backend.logging.otel", "instrument_aiohttp_client"),
    ("ai.backend.logging.utils", "_log_context_fields"),
    ("ai.backend.manager.api.rest.middleware.auth", "build_auth_middleware"),
    ("ai.backend.manager.clients.agent.pool", "AgentClientPool._check_all_health"),
    ("ai.backend.manager.clients.appproxy.client", "AppProxyClient.fetch_status"),
    ("ai.backend.manager.registry", "AgentRegistry.create_cluster"),
    ("ai.backend.manager.registry", "AgentRegistry.create_session"),
    ("ai.backend.manager.registry", "AgentRegistry.delete_appproxy_endpoint"),
    (
        "ai.backend.manager.repositories.deployment.repository",
        "DeploymentRepository.calculate_desired_replicas_for_deployment",
    ),
    (
        "ai.backend.manager.repositories.scheduler.db_source.db_source",
        "ScheduleDBSource.check_and_cancel_session_if_needed",
    ),
    ("ai.backend.manager.repositories.scheduler.repository", "SchedulerRepository.allocate_sessions"),
    ("ai.backend.manager.repositories.scheduler.repository", "SchedulerRepository.enqueue_session_from_spec"),
    ("ai.backend.manager.repositories.scheduler.repository", "SchedulerRepository.get_scheduling_data"),
    ("ai.backend.manager.repositories.scheduler.repository", "SchedulerRepository.get_sessions_for_pull"),
    ("ai.backend.manager.repositories.scheduler.repository", "SchedulerRepository.mark_sessions_terminating"),
    ("ai.backend.manager.services.model_serving.services.auto_scaling", "AutoScalingService.scale_service_replicas"),
    ("ai.backend.manager.services.model_serving.services.model_serving", "ModelServingService.delete"),
    ("ai.backend.manager.services.model_serving.services.model_serving", "ModelServingService.delete_route"),
    ("ai.backend.manager.services.model_serving.services.model_serving", "ModelServingService.update_endpoint"),
    ("ai.backend.manager.services.session.service", "SessionService.destroy_session"),
    ("ai.backend.manager.sokovan.deployment.coordinator", "DeploymentCoordinator.process_deployment_lifecycle"),
    ("ai.backend.manager.sokovan.deployment.deployment_controller", "DeploymentController.activate_revision"),
    ("ai.backend.manager.sokovan.deployment.deployment_controller", "DeploymentController.create_deployment"),
    ("ai.backend.manager.sokovan.deployment.deployment_controller", "DeploymentController.destroy_deployment"),
    ("ai.backend.manager.sokovan.deployment.deployment_controller", "DeploymentController.update_deployment"),
    ("ai.backend.manager.sokovan.deployment.executor", "DeploymentExecutor._dispatch_bulk_register"),
    ("ai.backend.manager.sokovan.deployment.executor", "DeploymentExecutor._dispatch_bulk_unregister"),
    ("ai.backend.manager.sokovan.deployment.route.coordinator", "RouteCoordinator.process_route_lifecycle"),
    ("ai.backend.manager.sokovan.deployment.route.executor", "RouteExecutor._provision_route"),
    ("ai.backend.manager.sokovan.deployment.route.executor", "RouteExecutor.provision_routes"),
    ("ai.backend.manager.sokovan.deployment.route.executor", "RouteExecutor.register_routes_now"),
    ("ai.backend.manager.sokovan.deployment.route.executor", "RouteExecutor.terminate_routes"),
    ("ai.backend.manager.sokovan.deployment.route.executor", "RouteExecutor.unregister_routes_now"),
    ("ai.backend.manager.sokovan.recorder.pool", "RecordPool.__init__"),
    ("ai.backend.manager.sokovan.recorder.recorder", "TransitionRecorder.build_execution_record"),
    ("ai.backend.manager.sokovan.scheduler.coordinator", "ScheduleCoordinator._apply_transition"),
    ("ai.backend.manager.sokovan.scheduler.coordinator", "ScheduleCoordinator._execute_single_hook"),
    ("ai.backend.manager.sokovan.scheduler.coordinator", "ScheduleCoordinator.process_if_needed"),
    ("ai.backend.manager.sokovan.scheduler.coordinator", "ScheduleCoordinator.process_schedule"),
    (
        "ai.backend.manager.sokovan.scheduler.handlers.lifecycle.schedule_sessions",
        "ScheduleSessionsLifecycleHandler.execute",
    ),
    ("ai.backend.manager.sokovan.scheduler.launcher.launcher", "SessionLauncher._start_single_session"),
    ("ai.backend.manager.sokovan.scheduler.launcher.launcher", "SessionLauncher._trigger_image_pulling_for_sessions"),
    ("ai.backend.manager.sokovan.scheduler.terminator.terminator", "SessionTerminator.check_stale_kernels"),
    ("ai.backend.storage.api.client", "PydanticJWTValidator.validate"),
    ("ai.backend.storage.api.client", "check_params"),
    ("ai.backend.storage.api.manager", "ArchiveDownloadHandler.create_session"),
    ("ai.backend.storage.api.manager", "check_params"),
    ("ai.backend.storage.api.manager", "create_download_session"),
    ("ai.backend.storage.api.manager", "create_upload_session"),
    ("ai.backend.storage.api.manager", "log_manager_api_entry"),
    ("ai.backend.web.clients.endpoint_pool.pool", "HealthyEndpointPool._check_all_health"),
)


def warn_about_missing() -> None:
    """Name what a release newer than the known ones lacks, in one warning; nothing for known or absent ones."""
    try:
        installed = version(DISTRIBUTION)
    except PackageNotFoundError:
        return
    if family_of(installed) <= NEWEST_FAMILY:
        return
    missing = missing_targets(TARGETS)
    if missing:
        _logger.warning(
            "Backend.AI %s is newer than this plugin knows (up to %s): not found, so requests may not be followed "
            "there: %s. A newer otel-backendai may know it",
            installed,
            ".".join(map(str, NEWEST_FAMILY)),
            ", ".join(missing),
        )


def family_of(release: str) -> tuple[int, int]:
    """Return the first two numbers of a version, ``(26, 9)`` for ``26.9.6``; ``(0, 0)`` for what is no version."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def missing_targets(targets: Iterable[tuple[str, str]]) -> list[str]:
    """Return which of ``targets`` are not there, as ``module:attribute``; imports nothing.

    A module that nobody has imported yet counts by its file, and one of a component that is not installed here (the
    agent's, on a manager's host) is not missing.
    """
    return [f"{module}:{path}" for module, path in targets if not _is_there(module, path)]


def _is_there(module: str, path: str) -> bool:
    owner: Any = sys.modules.get(module)
    if owner is None:
        return _has_file(module)
    for name in path.split("."):
        if not hasattr(owner, name):
            return False
        owner = getattr(owner, name)
    return True


def _has_file(module: str) -> bool:
    # Not importlib.util.find_spec: it imports the packages on the way.
    folders = [Path(entry) for entry in sys.path]
    *packages, name = module.split(".")
    for depth, package in enumerate(packages, 1):
        folders = [folder / package for folder in folders if (folder / package).is_dir()]
        if not folders:
            return depth <= _COMPONENT_DEPTH
    return any((folder / name).is_dir() or (folder / f"{name}.py").is_file() for folder in folders)
