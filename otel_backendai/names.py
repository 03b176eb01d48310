# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Every name that travels on a wire, and every setting that we read. See docs/architecture.md, section 2."""

from typing import Final

# HTTP headers -------------------------------------------------------------------------------------------------------
# Read in this order; the first acceptable value wins. Backend.AI's own code knows only the last one.
HEADER_REQUEST_ID: Final = "X-Request-ID"
HEADER_RESPONSE_REQUEST_ID: Final = "X-Backend-Request-ID"
HEADER_BACKENDAI_REQUEST_ID: Final = "X-BackendAI-RequestID"
REQUEST_ID_HEADERS: Final = (HEADER_REQUEST_ID, HEADER_RESPONSE_REQUEST_ID, HEADER_BACKENDAI_REQUEST_ID)
SENT_REQUEST_ID_HEADERS: Final = (HEADER_REQUEST_ID, HEADER_BACKENDAI_REQUEST_ID)

# W3C fields, which are also the keys of `headers` in an RPC body and of the JSON in an event's `otel` field.
TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
BAGGAGE: Final = "baggage"
W3C_FIELDS: Final = (TRACEPARENT, TRACESTATE, BAGGAGE)

# RPC bodies and events ----------------------------------------------------------------------------------------------
REQUEST_ID: Final = "request_id"
RPC_HEADERS: Final = "headers"
RPC_ARGS: Final = "args"
RPC_KWARGS: Final = "kwargs"
METADATA: Final = "metadata"
EVENT_FIELD: Final = "otel"
EVENT_NAME: Final = "name"
EVENT_TIMESTAMP: Final = "timestamp"
EVENT_SOURCE: Final = "source"
# `args` up to 26.8, `payload` from 26.9.
EVENT_BODIES: Final = ("args", "payload")
EVENT_RETRY_COUNT: Final = "_retry_count"

# What is kept for deferred work, in Redis under this key and a session's ID: a JSON object with the request ID, the
# W3C trace fields and the time of the request in seconds since the epoch.
SESSION_KEY_PREFIX: Final = "otel-backendai.session."
# A manager tells its other processes on this channel, as ID, blank and object: a scheduler acts before it would ask.
SESSION_CHANNEL: Final = "otel-backendai.sessions"
# The same for who comes back with a token: under this key and the token's SHA-256 in hexadecimal digits; and told on
# this channel, as digest, blank and object, to the processes that tokens are brought to.
TOKEN_KEY_PREFIX: Final = "otel-backendai.token."  # noqa: S105  # no token
TOKEN_CHANNEL: Final = "otel-backendai.tokens"  # noqa: S105  # ditto
KEPT_TIME: Final = "time"
KEPT_STATUS: Final = "session_status"
# Since when it is in that status, where that is not the time of the request.
KEPT_SINCE: Final = "status_since"
# Of a token that several requests were given in one moment: the others, each as request ID and `traceparent`.
KEPT_OTHERS: Final = "others"
# The same, in Backend.AI's own record of a background task that another process may have to run again.
TASK_FIELD: Final = "otel"

# Baggage entry, span attribute and metric attribute: the same text everywhere.
ATTRIBUTE_REQUEST_ID: Final = "backendai.request.id"
ATTRIBUTE_ORIGIN_COMPONENT: Final = "backendai.request.origin.component"
ATTRIBUTE_ORIGIN_DETAIL: Final = "backendai.request.origin.detail"
ATTRIBUTE_SESSION_ID: Final = "backendai.session.id"
ATTRIBUTE_SESSION_STATUS: Final = "backendai.session.status"
ATTRIBUTE_SESSION_NEXT_STATUS: Final = "backendai.session.next_status"
ATTRIBUTE_SESSION_REASON: Final = "backendai.session.reason"
ATTRIBUTE_KERNEL_ID: Final = "backendai.kernel.id"
ATTRIBUTE_VFOLDER_ID: Final = "backendai.vfolder.id"
ATTRIBUTE_AGENT_ID: Final = "backendai.agent.id"
ATTRIBUTE_BGTASK_ID: Final = "backendai.bgtask.id"
ATTRIBUTE_BGTASK_STATUS: Final = "backendai.bgtask.status"
ATTRIBUTE_ENDPOINT_ID: Final = "backendai.endpoint.id"
ATTRIBUTE_ROUTE_ID: Final = "backendai.route.id"

ORIGIN_HTTP: Final = "http"
ORIGIN_RPC: Final = "rpc"
ORIGIN_EVENT: Final = "event"
ORIGIN_BACKGROUND: Final = "background"

METRIC_MINTED: Final = "backendai.request.minted"
METRIC_REJECTED: Final = "backendai.request.rejected"
METRIC_ATTRIBUTE_ORIGIN: Final = "origin"
METRIC_ATTRIBUTE_HOP: Final = "hop"

# Log record attributes. The two otel* names are those of OpenTelemetry's own logging instrumentation.
LOG_REQUEST_ID: Final = "request_id"
LOG_TRACE_ID: Final = "otelTraceID"
LOG_SPAN_ID: Final = "otelSpanID"

# Semantic conventions that the oldest supported train lacks ---------------------------------------------------------
# RPC_SYSTEM_NAME and RPC_RESPONSE_STATUS_CODE of opentelemetry.semconv._incubating.attributes.rpc_attributes,
# present from 0.61b0 on only.
RPC_SYSTEM_NAME: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_SYSTEM_CALLOSUM: Final = "callosum"
# CODE_FUNCTION_NAME of opentelemetry.semconv.attributes.code_attributes, present from 0.54b0 on only.
CODE_FUNCTION_NAME: Final = "code.function.name"

# Settings -----------------------------------------------------------------------------------------------------------
SETTING_COMPONENT: Final = "OTEL_BACKENDAI_COMPONENT"
SETTING_PEERS: Final = "OTEL_BACKENDAI_PEERS"
SETTING_NOISE: Final = "OTEL_BACKENDAI_NOISE"
SETTING_ACTIVATE: Final = "OTEL_BACKENDAI_ACTIVATE"
SETTING_FLUSH_TIMEOUT: Final = "OTEL_BACKENDAI_FLUSH_TIMEOUT"
SETTING_LOG_TEXT: Final = "OTEL_BACKENDAI_LOG_TEXT"
SETTING_UPSTREAM_SPANS: Final = "OTEL_BACKENDAI_UPSTREAM_SPANS"
SETTING_SESSION_STORE: Final = "OTEL_BACKENDAI_SESSION_STORE"
SETTING_SESSION_TTL: Final = "OTEL_BACKENDAI_SESSION_TTL"
SETTING_SESSION_LIMIT: Final = "OTEL_BACKENDAI_SESSION_LIMIT"
# No setting: what a component hands down to the workers that it spawns.
SPAWNED_COMPONENT: Final = "OTEL_BACKENDAI_SPAWNED_COMPONENT"
SETTING_STRICT: Final = "OTEL_BACKENDAI_STRICT"

INSTRUMENTATION_NAME: Final = "otel_backendai"
