# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Our settings for ``opentelemetry-instrument``, which makes a command line flag of each name here.

Entry point of group ``opentelemetry_environment_variables``.
"""

from otel_backendai import names

OTEL_BACKENDAI_COMPONENT = names.SETTING_COMPONENT
OTEL_BACKENDAI_PEERS = names.SETTING_PEERS
OTEL_BACKENDAI_NOISE = names.SETTING_NOISE
OTEL_BACKENDAI_FLUSH_TIMEOUT = names.SETTING_FLUSH_TIMEOUT
OTEL_BACKENDAI_LOG_TEXT = names.SETTING_LOG_TEXT
OTEL_BACKENDAI_UPSTREAM_SPANS = names.SETTING_UPSTREAM_SPANS
OTEL_BACKENDAI_SESSION_STORE = names.SETTING_SESSION_STORE
OTEL_BACKENDAI_SESSION_TTL = names.SETTING_SESSION_TTL
OTEL_BACKENDAI_SESSION_LIMIT = names.SETTING_SESSION_LIMIT
