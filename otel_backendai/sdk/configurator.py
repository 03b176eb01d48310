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
from importlib.metadata import entry_points
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler

from otel_backendai.component import component
from otel_backendai.guard import Guard
from otel_backendai.sdk import contrib_logging, late_target, log_bridge, processes
from otel_backendai.sdk.export_queue import ExportQueue
from otel_backendai.sdk.export_warnings import limit_official_exporters
from otel_backendai.sdk.processors import QueueLogRecordProcessor, QueueSpanProcessor, make_queue
from otel_backendai.sdk.resource import ProcessResource, create_resource
from otel_backendai.sdk.span_processor import equip

_logger = logging.getLogger(__name__)
_CONFIGURE = Guard("configurator")

# Our entry point in both groups of exporters.
OTLP_EXPORTER = "backendai_otlp"

# The resource of the pipelines of this process: one, or none before `configure` and beside somebody else's provider.
_configured: list[ProcessResource] = []

# What the SDK's TracerProvider builds from the environment by itself.
_BUILT_IN_SAMPLERS = {
    "",
    "always_on",
    "always_off",
    "parentbased_always_on",
    "parentbased_always_off",
    "traceidratio",
    "parentbased_traceidratio",
}


class BackendAIConfigurator:
    """What ``opentelemetry-instrument`` calls to set the SDK up."""

    def configure(self, **kwargs: Any) -> None:
        """Set the SDK up for this process; raises nothing."""
        if component() is None:
            # Private, but exactly what the stock entry point (opentelemetry-distro) is a subclass of.
            from opentelemetry.sdk._configuration import _OTelSDKConfigurator

            _OTelSDKConfigurator().configure(**kwargs)  # type: ignore[no-untyped-call]  # untyped package
            return
        with _CONFIGURE:
            try:
                configure(kwargs.get("auto_instrumentation_version"))
            except Exception as error:
                _logger.warning("OpenTelemetry is not set up, nothing is exported: %s", type(error).__qualname__)
                raise


def configure(auto_instrumentation_version: str | None = None) -> None:
    """Give this process a tracer provider that exports from wherever it forks to, and a logger provider if asked.

    When the application has set an SDK provider already, that one is kept and only gets the request ID processor.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return
    _tell_what_is_ignored()
    existing = trace.get_tracer_provider()
    if isinstance(existing, TracerProvider):
        equip(existing)
        return
    resource = create_resource(auto_instrumentation_version)
    provider = TracerProvider(
        sampler=_sampler(), resource=resource, shutdown_on_exit=False, id_generator=_id_generator()
    )
    equip(provider)
    queues = []
    for make_exporter in _exporters("traces", "otlp"):
        queue = make_queue("OTEL_BSP", "otel-backendai-spans", make_exporter, delay=5_000)
        provider.add_span_processor(QueueSpanProcessor(queue))
        queues.append(queue)
        late_target.offer("traces", queue)
    trace.set_tracer_provider(provider)
    _configured.append(resource)
    processes.watch(resource, [*queues, *_export_logs(resource, _exporters("logs", "none"))])


def _tell_what_is_ignored() -> None:
    if os.environ.get("OTEL_METRICS_EXPORTER", "").strip() not in ("", "none"):
        _logger.warning("OTEL_METRICS_EXPORTER is ignored: no metrics are exported from components of Backend.AI")
    if os.environ.get("OTEL_CONFIG_FILE", "").strip():
        _logger.warning("OTEL_CONFIG_FILE is ignored in components of Backend.AI: OTEL_* variables are read")


def _export_logs(resource: ProcessResource, exporters: list[Callable[[], Any]]) -> list[ExportQueue[Any]]:
    if not exporters:
        return []
    queues = []
    provider = LoggerProvider(resource, shutdown_on_exit=False)
    for make_exporter in exporters:
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
    late_target.export_to("traces", partial(_grpc_exporter, "traces", endpoint))


def adopt_logs(endpoint: str, level: int) -> None:
    """The same for log records: exports those of ``level`` and above unless ``OTEL_LOGS_EXPORTER`` says otherwise."""
    if os.environ.get("OTEL_LOGS_EXPORTER", "").strip():
        late_target.export_to("logs", partial(_grpc_exporter, "logs", endpoint))
        return
    for resource in _configured:
        if not log_bridge.HOP.active:
            log_bridge.export_from(level)
            processes.watch(resource, _export_logs(resource, [partial(_grpc_exporter, "logs", endpoint)]))


def _grpc_exporter(signal: str, endpoint: str) -> Any:
    # The official one: every release that has such a configuration brings it.
    factory = _load(f"opentelemetry_{signal}_exporter", "otlp_proto_grpc")
    return _NoExporter() if factory is None else _make_exporter(partial(factory, endpoint=endpoint))


def _exporters(signal: str, default: str) -> list[Callable[[], Any]]:
    """The exporter factories that ``OTEL_*_EXPORTER`` names; a missing one is reported once and left out."""
    names = [name.strip() for name in (os.environ.get(f"OTEL_{signal.upper()}_EXPORTER") or default).split(",")]
    # Imported here, once for all workers, and not in the exporting thread: a fork in the middle of an import leaves the
    # module's lock taken in the child for ever. The exporter itself, with its sockets, is made by each process.
    found = (
        _load(f"opentelemetry_{signal}_exporter", _exporter_name(signal, name))
        for name in names
        if name not in ("", "none")
    )
    return [partial(_make_exporter, factory) for factory in found if factory is not None]


def _make_exporter(factory: Callable[[], Any]) -> Any:
    try:
        return factory()
    except Exception as error:
        _logger.warning("%s cannot be made, nothing is exported by it: %s", factory, error)
        return _NoExporter()


class _NoExporter:
    """Stands for an exporter that cannot be made, so that the failure is reported once and not per batch."""

    def export(self, batch: object) -> None:
        """Drop ``batch``."""

    def shutdown(self) -> None:
        """Do nothing."""


def _exporter_name(signal: str, name: str) -> str:
    # "otlp" says which protocol, not whose exporter: ours, but where only an official one speaks it.
    if name != "otlp":
        return name
    protocol = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL") or os.environ.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", ""
    )
    protocol = protocol.strip().lower()
    if protocol == "grpc":
        return "otlp_proto_grpc"
    if protocol not in ("", "http/protobuf"):
        _logger.warning("OTEL_EXPORTER_OTLP_PROTOCOL is neither grpc nor http/protobuf; the latter is used")
    return OTLP_EXPORTER


def _load(group: str, name: str) -> Any:
    """What an entry point names; ``None``, and one warning, when nothing offers it or it cannot be imported."""
    found = next(iter(entry_points(group=group, name=name)), None)
    if found is None:
        hint = " (pip install 'otel-backendai[otlp]' brings it)" if name.startswith("otlp_proto_") else ""
        _logger.warning("nothing installed offers %s %r%s", group, name, hint)
        return None
    try:
        loaded = found.load()
    except Exception as error:
        _logger.warning("%s %r cannot be imported: %s", group, name, error)
        return None
    if group.endswith("_exporter"):
        limit_official_exporters()
    return loaded


def _sampler() -> Any:
    name = os.environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if name in _BUILT_IN_SAMPLERS:
        return None
    factory = _load("opentelemetry_traces_sampler", name)
    argument = os.environ.get("OTEL_TRACES_SAMPLER_ARG")
    made = None if factory is None else _made(name, Sampler, partial(factory, argument))
    # Not None, for which the SDK would look for the name again, and complain of it.
    return made or DEFAULT_ON


def _id_generator() -> Any:
    name = os.environ.get("OTEL_PYTHON_ID_GENERATOR", "").strip() or "backendai"
    factory = _load("opentelemetry_id_generator", name)
    return None if factory is None else _made(name, IdGenerator, factory)


def _made(name: str, kind: type, factory: Callable[[], object]) -> Any:
    """What ``factory`` makes; ``None``, for the default, and one warning when it fails or that is no ``kind``."""
    try:
        made: object = factory()
        reason = "" if isinstance(made, kind) else f"it is no {kind.__name__}"
    except Exception as error:
        made, reason = None, type(error).__qualname__
    if reason:
        _logger.warning("%s cannot be used, the default is: %s", name, reason)
        return None
    return made
