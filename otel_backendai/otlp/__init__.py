# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""OTLP over HTTP in protobuf's binary encoding, without protobuf: from finished spans and log records to a receiver."""
