# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The SDK's side: request ID on every span, resource per process, export from forked workers, sampling by request."""
