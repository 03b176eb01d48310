# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What the plugin costs per request, beside stock OpenTelemetry and beside nothing: ``python -m bench``."""
