# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The hops as OpenTelemetry instrumentors, one entry point each, so that each can be disabled by name.

OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=backendai_events,backendai_logs
"""

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # untyped

from otel_backendai.guard import Guard
from otel_backendai.patching import Hop

_INSTRUMENT = Guard("instrumentor")


class _HopInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # ditto
    """Switches one hop on and off. Nothing raises: one raising instrumentor stops all others of the process."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return nothing: a hop waits for its target to be imported, and a process without it pays nothing."""
        return ()

    @property
    def hop(self) -> Hop:
        """The hop, imported when it is first asked for."""
        raise NotImplementedError

    def instrument(self, **kwargs: Any) -> None:
        """Switch the hop on; a second loader changes nothing, and is no reason for the base class's warning."""
        if not self.is_instrumented_by_opentelemetry:
            super().instrument(**kwargs)

    def _instrument(self, **kwargs: Any) -> None:
        with _INSTRUMENT:
            self.hop.install(kwargs.get("tracer_provider"))

    def _uninstrument(self, **kwargs: Any) -> None:
        with _INSTRUMENT:
            self.hop.uninstall()


class HttpServerInstrumentor(_HopInstrumentor):
    """HTTP in, entry point ``backendai_http_server``."""

    @property
    def hop(self) -> Hop:
        """See :mod:`otel_backendai.hops.http_server`, and the adapters for the app-proxy and the storage-proxy."""
        from otel_backendai.hops.http_server import HOP
        from otel_backendai.releases import app_proxy, storage_proxy  # noqa: F401  # they declare their wraps

        return HOP

    def _instrument(self, **kwargs: Any) -> None:
        from otel_backendai.hops.contrib_server import GUARDING

        with _INSTRUMENT:
            from otel_backendai.hops import http_server
            from otel_backendai.releases.entities import route_entities
            from otel_backendai.releases.tokens import brought_token

            http_server.entities_of = route_entities
            http_server.token_of = brought_token
            GUARDING.install()
        super()._instrument(**kwargs)

    def _uninstrument(self, **kwargs: Any) -> None:
        from otel_backendai.hops import http_server
        from otel_backendai.hops.contrib_server import GUARDING

        super()._uninstrument(**kwargs)
        with _INSTRUMENT:
            http_server.entities_of = None
            http_server.token_of = None
            GUARDING.uninstall()


class HttpClientInstrumentor(_HopInstrumentor):
    """HTTP out, entry point ``backendai_http_client``."""

    @property
    def hop(self) -> Hop:
        """See :mod:`otel_backendai.hops.http_client`, and the adapters for the app-proxy."""
        from otel_backendai.hops.http_client import HOP
        from otel_backendai.releases import app_proxy, app_proxy_status, user_traffic  # noqa: F401  # declare their wraps

        return HOP


class RpcInstrumentor(_HopInstrumentor):
    """RPC out and in, entry point ``backendai_rpc``."""

    @property
    def hop(self) -> Hop:
        """See :mod:`otel_backendai.hops.rpc`."""
        from otel_backendai.hops.rpc import HOP
        from otel_backendai.releases import rpc_metadata  # noqa: F401  # declares its wraps

        return HOP

    def _instrument(self, **kwargs: Any) -> None:
        with _INSTRUMENT:
            from otel_backendai.hops import rpc
            from otel_backendai.releases.rpc_entities import call_entities

            rpc.entities_of = call_entities
        super()._instrument(**kwargs)

    def _uninstrument(self, **kwargs: Any) -> None:
        from otel_backendai.hops import rpc

        super()._uninstrument(**kwargs)
        rpc.entities_of = None


class EventsInstrumentor(_HopInstrumentor):
    """Events out and in, entry point ``backendai_events``."""

    @property
    def hop(self) -> Hop:
        """See :mod:`otel_backendai.hops.events`."""
        from otel_backendai.hops.events import HOP
        from otel_backendai.releases import events  # noqa: F401  # declares its wraps

        return HOP


class BackgroundInstrumentor(_HopInstrumentor):
    """Timers, entry point ``backendai_background``."""

    @property
    def hop(self) -> Hop:
        """See :mod:`otel_backendai.hops.background`, and the adapters for Backend.AI's own mechanisms."""
        from otel_backendai.hops.background import HOP
        from otel_backendai.releases import (  # noqa: F401  # they declare their wraps
            background,
            bgtasks,
            lifecycle,
            task_records,
        )

        return HOP


class DeferredInstrumentor(_HopInstrumentor):
    """What requests leave to schedulers and to tokens, entry point ``backendai_deferred``."""

    @property
    def hop(self) -> Hop:
        """See :mod:`otel_backendai.hops.deferred`, and the adapters for schedulers, tokens and Redis."""
        from otel_backendai.hops.deferred import HOP
        from otel_backendai.releases import (  # noqa: F401  # they declare their wraps
            endpoint_changes,
            endpoint_registration,
            kernels,
            model_services,
            model_services_dispatcher,
            redis_address,
            scheduling,
            scheduling_records,
            session_listings,
            session_requests,
            session_waits,
            silent_transitions,
            tokens,
        )

        return HOP


class LogsInstrumentor(_HopInstrumentor):
    """Log records, entry point ``backendai_logs``."""

    @property
    def hop(self) -> Hop:
        """See :mod:`otel_backendai.hops.logs`."""
        import otel_backendai.releases.log_relay  # noqa: F401  # declares what it wraps
        from otel_backendai.hops.logs import HOP

        return HOP


class RequestContextInstrumentor(_HopInstrumentor):
    """Backend.AI's own ``current_request_id()``, entry point ``backendai_request_context``."""

    @property
    def hop(self) -> Hop:
        """See :mod:`otel_backendai.releases.request_context`."""
        from otel_backendai.releases.request_context import HOP

        return HOP


BY_NAME: dict[str, type[_HopInstrumentor]] = {
    "backendai_http_server": HttpServerInstrumentor,
    "backendai_http_client": HttpClientInstrumentor,
    "backendai_rpc": RpcInstrumentor,
    "backendai_events": EventsInstrumentor,
    "backendai_background": BackgroundInstrumentor,
    "backendai_deferred": DeferredInstrumentor,
    "backendai_logs": LogsInstrumentor,
    "backendai_request_context": RequestContextInstrumentor,
}
