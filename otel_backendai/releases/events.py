# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The events hop's adapters, all families: importing this declares their wraps."""

from otel_backendai.releases import events_dispatcher, events_json, events_queue, events_streams

__all__ = ["events_dispatcher", "events_json", "events_queue", "events_streams"]
