# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Entry point ``backendai`` of group ``opentelemetry_configurator``: the SDK in a component of Backend.AI.

In any other process it does what the stock configurator does. Backend.AI's environments bring none at all, so that
without ours ``opentelemetry-instrument`` would export nothing.
"""

import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.environment_variables import OTEL_PYTHON_TRACER_PROVIDER
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider

from otel_backendai.component import component
from otel_backendai.guard import Guard
from otel_backendai.sdk import contrib_logging, late_target, log_bridge, processes
from otel_backendai.sdk.export_queue import ExportQueue
from otel_backendai.sdk.plugins import exporters, grpc_exporter, id_generator, sampler
from otel_backendai.sdk.processors import QueueLogRecordProcessor, QueueSpanProcessor, make_queue
from otel_backendai.sdk.resource import ProcessResource, create_resource
from otel_backendai.sdk.span_processor import equip

_logger = logging.getLogger(__name__)
_CONFIGURE = Guard("configurator")

# The resource of the pipelines of this process: one, or none before `configure` and beside somebody else's provider.
_configured: list[ProcessResource] = []


class BackendAIConfigurator:
    """What ``opentelemetry-instrument`` calls to set the SDK up."""

    def configure(self, **kwargs: Any) -> None:
        """Set the SDK up for this process; raises nothing."""
        if component() is None:
            # Private, but exactly what the stock entry point (opentelemetry-distro) is a subclass of.
            from opentelemetry.sdk._configuration import _OTelSDKConfigurator

            _OTelSDKConfigurator().configure(**kwargs)  # type: ignore[no-untyped-call]  # untyped package
            return
        configure(kwargs.get("auto_instrumentation_version"))


def configure(auto_instrumentation_version: str | None = None) -> None:
    """Give this process a tracer provider that exports from wherever it forks to, and a logger provider if asked.

    When the application has set an SDK provider already, that one is kept and only gets the request ID processor.
    Raises nothing: what makes it impossible is one warning.
    """
    with _CONFIGURE:
        try:
            _set_up(auto_instrumentation_version)
        except Exception as error:
            _logger.warning("OpenTelemetry could not be set up: %r", error)
            raise


def _set_up(auto_instrumentation_version: str | None) -> None:
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return
    existing = _existing()
    if isinstance(existing, TracerProvider):
        equip(existing)
        return
    _tell_what_is_ignored()
    resource = create_resource(auto_instrumentation_version)
    provider = TracerProvider(sampler=sampler(), resource=resource, shutdown_on_exit=False, id_generator=id_generator())
    equip(provider)
    queues = []
    for make_exporter in exporters("traces", "otlp"):
        queue = make_queue("OTEL_BSP", "otel-backendai-spans", make_exporter, delay=5_000)
        provider.add_span_processor(QueueSpanProcessor(queue))
        queues.append(queue)
        late_target.offer("traces", queue)
    trace.set_tracer_provider(provider)
    _configured.append(resource)
    processes.watch(resource, [*queues, *_export_logs(resource, exporters("logs", "none"))])


def _existing() -> object:
    # By this name the API makes the SDK's for whoever asks first: it is nobody's, and exports nothing.
    if os.environ.get(OTEL_PYTHON_TRACER_PROVIDER) == "sdk_tracer_provider":
        return trace._TRACER_PROVIDER
    return trace.get_tracer_provider()


def _tell_what_is_ignored() -> None:
    if os.environ.get("OTEL_METRICS_EXPORTER", "").strip() not in ("", "none"):
        _logger.warning("OTEL_METRICS_EXPORTER is ignored: no metrics are exported from components of Backend.AI")
    if os.environ.get("OTEL_CONFIG_FILE", "").strip():
        _logger.warning("OTEL_CONFIG_FILE is ignored in components of Backend.AI: OTEL_* variables are read")


def _export_logs(resource: ProcessResource, makers: list[Callable[[], Any]]) -> list[ExportQueue[Any]]:
    if not makers:
        return []
    queues = []
    provider = LoggerProvider(resource, shutdown_on_exit=False)
    for make_exporter in makers:
        queue = make_queue("OTEL_BLRP", "otel-backendai-logs", make_exporter, delay=1_000)
        provider.add_log_record_processor(QueueLogRecordProcessor(queue))
        queues.append(queue)
        late_target.offer("logs", queue)
    set_logger_provider(provider)
    log_bridge.HOP.install()
    contrib_logging.HOP.install()
    return queues


def is_configured() -> bool:
    """Whether the pipelines of this process are ours."""
    return bool(_configured)


def adopt(endpoint: str, attributes: Mapping[str, Any]) -> None:
    """Take over what a component's own configuration says about traces, where no ``OTEL_*`` variable says otherwise.

    Args:
        endpoint: An OTLP/gRPC endpoint, for example ``http://localhost:4317``.
        attributes: Resource attributes of the component.
    """
    for resource in _configured:
        resource.adopt(attributes)
    late_target.export_to("traces", partial(grpc_exporter, "traces", endpoint))


def adopt_logs(endpoint: str, level: int) -> None:
    """The same for log records: exports those of ``level`` and above unless ``OTEL_LOGS_EXPORTER`` says otherwise."""
    if os.environ.get("OTEL_LOGS_EXPORTER", "").strip():
        late_target.export_to("logs", partial(grpc_exporter, "logs", endpoint))
        return
    for resource in _configured:
        if not log_bridge.HOP.active:
            log_bridge.export_from(level)
            processes.watch(resource, _export_logs(resource, [partial(grpc_exporter, "logs", endpoint)]))
