# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What an event is about: sessions, kernels, agents, folders, as attributes of its spans."""

from otel_backendai.names import ATTRIBUTE_AGENT_ID, ATTRIBUTE_KERNEL_ID, ATTRIBUTE_SESSION_ID, ATTRIBUTE_VFOLDER_ID

# Field of an event class (23.09 to 26.9), attribute. A folder's ID is that of the folder without its quota scope.
_FIELDS = (
    ("session_id", ATTRIBUTE_SESSION_ID),
    ("kernel_id", ATTRIBUTE_KERNEL_ID),
    ("agent_id", ATTRIBUTE_AGENT_ID),
    ("vfolder_id", ATTRIBUTE_VFOLDER_ID),
    ("vfid", ATTRIBUTE_VFOLDER_ID),
)
MAX_ID_LENGTH = 128


def event_entities(event: object) -> dict[str, str]:
    """Return ``backendai.*.id`` attributes for the IDs that ``event`` has, as text; empty for an event without any."""
    found: dict[str, str] = {}
    for name, attribute in _FIELDS:
        value = getattr(event, name, None)
        if value is not None:
            found[attribute] = str(getattr(value, "folder_id", value))[:MAX_ID_LENGTH]
    return found
