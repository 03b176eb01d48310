# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""A small cluster with Backend.AI's components, transports and process model, for trying out tracing.

Each component is a process of its own: `python -m backendai_example.manager`, `.agent`, `.legacy_agent`,
`.storage_proxy`, `.app_proxy`, `.wsproxy`; `.client` is the command line client, `.redis_server` a Redis-compatible
server for machines that have none.
"""
