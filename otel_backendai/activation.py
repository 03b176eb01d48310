# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The one way in: every loader ends here, and a second one changes nothing.

``opentelemetry-instrument`` brings configurator and instrumentors itself and calls the two hooks below around them;
:func:`activate` does all of it for loaders that have nothing of the kind (code, a ``.pth`` line, the ``backend.ai``
command).
"""

import logging
import os

from otel_backendai.guard import Guard

_logger = logging.getLogger(__name__)
_ACTIVATE = Guard("activation")


def activate() -> None:
    """Set the SDK up (if nobody has) and switch every hop on that is not disabled by name.

    The same result as ``opentelemetry-instrument``, in one call at the start of a process. Raises nothing. A process
    that is no component of Backend.AI gets the hops and keeps the providers that it has.
    """
    with _ACTIVATE:
        from otel_backendai import instrumentors
        from otel_backendai.component import component

        before_instrumentors()
        if component() is not None:
            _set_up_sdk()
        disabled = _disabled()
        for name, instrumentor in instrumentors.BY_NAME.items():
            if name not in disabled:
                instrumentor().instrument()
        after_instrumentors()


def _set_up_sdk() -> None:
    with _ACTIVATE:
        try:
            from otel_backendai.sdk.configurator import configure
        except Exception as error:
            # The SDK reads some of its settings when it is imported.
            _logger.warning("OpenTelemetry could not be set up: %r", error)
            raise
        configure()


def _disabled() -> set[str]:
    names = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")
    disabled = {name.strip() for name in names}
    if "*" in disabled:
        from otel_backendai import instrumentors

        return set(instrumentors.BY_NAME)
    return disabled


def before_instrumentors() -> None:
    """Entry point of group ``opentelemetry_pre_instrument``: stand before contrib's HTTP server instrumentor.

    Before, because the order of instrumentors is that of the installed packages: ours may run after it.
    """
    with _ACTIVATE:
        from otel_backendai.hops.contrib_server import GUARDING

        GUARDING.install()


def after_instrumentors() -> None:
    """Entry point of group ``opentelemetry_post_instrument``: request IDs also on a provider that is not ours.

    Another configurator may have been chosen, or come first.
    """
    with _ACTIVATE:
        from opentelemetry.trace import get_tracer_provider

        from otel_backendai.sdk.span_processor import equip

        equip(get_tracer_provider())
    with _ACTIVATE:
        from otel_backendai.component import component

        if component() is not None:
            _look_after_component()


def _look_after_component() -> None:
    from otel_backendai.releases import expected, own_tracing
    from otel_backendai.sdk import processes

    processes.HOP.install()
    own_tracing.HOP.install()
    if own_tracing.await_section not in processes.in_worker:
        processes.before_workers.append(expected.warn_about_missing)
        processes.in_worker.append(own_tracing.await_section)
