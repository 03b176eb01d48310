# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the environment names and some package offers: exporters, sampler, ID generator.

Each that is missing, or cannot be used, is one warning, and the default stands in its place.
"""

import logging
import os
from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points
from typing import Any

from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler

from otel_backendai.sdk.export_warnings import limit_official_exporters

_logger = logging.getLogger(__name__)

# Our entry point in both groups of exporters.
OTLP_EXPORTER = "backendai_otlp"

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


def grpc_exporter(signal: str, endpoint: str) -> Any:
    """Return an exporter by OTLP/gRPC; one that exports nothing when there is none."""
    # The official one: every release that has such a configuration brings it.
    factory = _load(f"opentelemetry_{signal}_exporter", "otlp_proto_grpc")
    return _NoExporter() if factory is None else _make_exporter(partial(factory, endpoint=endpoint))


def exporters(signal: str, default: str) -> list[Callable[[], Any]]:
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


def sampler() -> Sampler | None:
    """Return the sampler that ``OTEL_TRACES_SAMPLER`` names; ``None`` for the SDK's own, which it makes itself."""
    name = os.environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if name in _BUILT_IN_SAMPLERS:
        return None
    factory = _load("opentelemetry_traces_sampler", name)
    argument = os.environ.get("OTEL_TRACES_SAMPLER_ARG")
    made = None if factory is None else _made(name, Sampler, partial(factory, argument))
    # Not None, for which the SDK would look for the name again, and complain of it.
    return made or DEFAULT_ON


def id_generator() -> IdGenerator | None:
    """Return the generator that ``OTEL_PYTHON_ID_GENERATOR`` names, ours by default; ``None`` for the SDK's own."""
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
        _logger.warning("%s cannot be used (%s), the default is used", name, reason)
        return None
    return made
