# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What differs between Backend.AI's releases; nothing else knows their modules. An adapter binds the hops to them.

An adapter declares its wraps on a hop's own ``HOP``. A target that a release does not have is never imported or not
found in its module, and skipped: so an adapter is chosen by what is there, not by a version number.
"""
