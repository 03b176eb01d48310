# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0
