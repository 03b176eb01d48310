# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``python -m otel_backendai``: the command ``otel-backendai``."""

from otel_backendai.cli import main

main()
