# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The desk: an embedded OTLP receiver, a bounded store, Jaeger's query API and one page, for use without Jaeger."""
