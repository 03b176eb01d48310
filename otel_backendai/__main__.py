# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""``python -m otel_backendai``: the command ``otel-backendai``."""

import sys

from otel_backendai.cli import main

sys.exit(main())
