# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Which process did what for a session."""

from collections.abc import Sequence

from opentelemetry.semconv.resource import ResourceAttributes

from otel_backendai.desk.model import Span
from tests.realstack.matrix.observation import component_of, request_id_of
from tests.realstack.sessions.made import Made

_MAKES_KERNELS = "create_kernels"


def is_split(spans: Sequence[Span], one: Made) -> bool:
    """Whether another process of the manager asked an agent for the kernels than the one that served the request."""
    own = [span for span in spans if request_id_of(span) == one.created and component_of(span) == "manager"]
    servers = sorted((span for span in own if span.kind == "server"), key=lambda span: span.start_ns)
    makers = {_process(span) for span in own if span.kind == "client" and span.name == _MAKES_KERNELS}
    return bool(servers) and bool(makers) and _process(servers[0]) not in makers


def _process(span: Span) -> object:
    return span.resource.get(ResourceAttributes.PROCESS_PID)
