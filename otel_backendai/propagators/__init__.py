# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Carriers only: what travels in HTTP headers, RPC bodies and event fields. No module here knows a target library.

Everything in this package is loaded while OpenTelemetry's own packages are half imported (an entry point named in
``OTEL_PROPAGATORS``), so it imports only the API: ``opentelemetry.{context,baggage,trace,propagators}``.
"""
