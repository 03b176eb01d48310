# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Which session, kernel and agent an RPC of the agent is about: method and position tell what an argument is.

Read off `ai/backend/agent/server.py` of 23.9.10, 24.3.11, 25.15.12, 26.4.16, 26.8.3 and 26.9.6: methods came and went,
and no ID has ever moved to another position. From 26.9 on a call also has the keyword `agent_id`. Left out are calls
about all kernels of an agent (`sync_kernel_registry`, `purge_containers`), which are nobody's in particular.
"""

from collections.abc import Mapping, Sequence

from otel_backendai.hops import deferred
from otel_backendai.names import ATTRIBUTE_KERNEL_ID, ATTRIBUTE_SESSION_ID
from otel_backendai.releases import kernels
from otel_backendai.releases.entities import ATTRIBUTE_BY_NAME, entity_text

_KERNEL = (ATTRIBUTE_KERNEL_ID,)
_KERNEL_SESSION = (ATTRIBUTE_KERNEL_ID, ATTRIBUTE_SESSION_ID)
_SESSION_KERNEL = (ATTRIBUTE_SESSION_ID, ATTRIBUTE_KERNEL_ID)

_CREATE = "create_kernels"

POSITIONS: Mapping[str, tuple[str, ...]] = {
    # The second is a list: of one kernel, unless the session is a cluster with several on the same agent.
    _CREATE: _SESSION_KERNEL,
    "destroy_kernel": _KERNEL_SESSION,
    "restart_kernel": _SESSION_KERNEL,
    "execute": _SESSION_KERNEL,
    "trigger_batch_execution": _SESSION_KERNEL,
    "check_creating": _KERNEL,
    "check_running": _KERNEL,
    "commit": _KERNEL,
    "download_file": _KERNEL,
    "download_single": _KERNEL,
    "drop_kernel_registry": _KERNEL,
    "get_commit_status": _KERNEL,
    "get_completions": _KERNEL,
    "get_logs": _KERNEL,
    "interrupt_kernel": _KERNEL,
    "list_files": _KERNEL,
    "ping_kernel": _KERNEL,
    "shutdown_service": _KERNEL,
    "start_service": _KERNEL,
    "upload_file": _KERNEL,
}


def call_entities(method: str, arguments: Sequence[object], keywords: Mapping[object, object]) -> Mapping[str, str]:
    """The span attributes that name what a call is about; empty when it names nothing.

    Args:
        method: The name of the RPC function.
        arguments: Its positional arguments.
        keywords: Its keyword arguments.
    """
    named = list(zip(POSITIONS.get(method, ()), arguments, strict=False))
    # A handful of names against one or two keywords at most.
    named += [(attribute, keywords[name]) for name, attribute in ATTRIBUTE_BY_NAME.items() if name in keywords]
    texts = ((attribute, entity_text(value)) for attribute, value in named)
    if method == _CREATE and len(arguments) > 1 and isinstance(arguments[1], list):
        for kernel in arguments[1]:
            kernels.learn(kernel, arguments[0])
        session = entity_text(arguments[0])
        if session is not None:
            # The agent's daemon will report of its containers in nobody's context.
            deferred.sessions.find(session)
    return kernels.with_session({attribute: text for attribute, text in texts if text is not None})
