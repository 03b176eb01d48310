# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""One module per hop: what is wrapped, which span stands for it, and what travels over it."""
