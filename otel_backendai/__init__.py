# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""One request ID and one W3C trace through every hop of a Backend.AI cluster.

Import-free on purpose: OpenTelemetry loads our propagator entry points while its own packages are half
imported, and every child interpreter pays for what stands here. What applications call is in
:mod:`otel_backendai.api`.
"""

__version__ = "0.1.0"
