# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

# Backend.AI 26.8: the settings of 26.9 over the schema and the seed of 26.4.
# Sourced by lib.sh.
. "$HERE/releases/26.4/release.sh"

RELEASE_NEWEST=26.8.3
AGENT_GROUP_KEY=initial-resource-group-name
