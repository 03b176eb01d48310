# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Which session, kernel, agent or vfolder something of Backend.AI is about, as span attributes.

An attribute is always one text, so that a search for it finds it: an ID that is no text, too long, or hostile is left
out instead of being cut, and of several IDs none is taken. All releases from 23.09 to 26.9 use these names.
"""

import re
from collections.abc import Mapping
from uuid import UUID

from otel_backendai.guard import Guard
from otel_backendai.names import (
    ATTRIBUTE_AGENT_ID,
    ATTRIBUTE_ENDPOINT_ID,
    ATTRIBUTE_KERNEL_ID,
    ATTRIBUTE_ROUTE_ID,
    ATTRIBUTE_SESSION_ID,
    ATTRIBUTE_VFOLDER_ID,
)
from otel_backendai.request_id import is_acceptable

# Arguments and event fields that say by their name what they are.
ATTRIBUTE_BY_NAME: Mapping[str, str] = {
    "session_id": ATTRIBUTE_SESSION_ID,
    "kernel_id": ATTRIBUTE_KERNEL_ID,
    "agent_id": ATTRIBUTE_AGENT_ID,
    "vfolder_id": ATTRIBUTE_VFOLDER_ID,
    "endpoint_id": ATTRIBUTE_ENDPOINT_ID,
    "route_id": ATTRIBUTE_ROUTE_ID,
}
# A VFolderID, or its text (`user:OWNER/FOLDER`), in the events of 25.15 and later, and in the storage-proxy's requests.
_VFOLDER_ID_FIELD = "vfid"

# Variables of routes; `session_name`, and `name` in the routes of vfolders, hold a name or an ID, and only an ID can be
# told from its look.
_FOLDER_VARIABLES = ("folder_id", "folder_uuid")
_SESSION_VARIABLE = "session_name"
_FOLDER_ROUTE, _FOLDER_VARIABLE = re.compile(r"/folders/\{name\}(/|$)"), "name"

_EVENT = Guard("entities: event")


def event_entities(event: object) -> dict[str, str]:
    """The span attributes that name what ``event`` is about; empty when it names nothing. Raises nothing.

    Args:
        event: An event object of any release (its fields are attributes), or a mapping of its fields; also what
            names its fields as events do.
    """
    found: dict[str, str] = {}
    with _EVENT:
        read = event.get if isinstance(event, Mapping) else _Fields(event).get
        for name, attribute in ATTRIBUTE_BY_NAME.items():
            text = entity_text(read(name))
            if text is not None:
                found[attribute] = text
        folder = entity_text(_folder_of(read(_VFOLDER_ID_FIELD)))
        if folder is not None:
            found[ATTRIBUTE_VFOLDER_ID] = folder
    return found


def route_entities(route: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The span attributes that the variables of an HTTP route name; empty when they name nothing.

    Args:
        route: The route's template, as ``/folders/{name}/files``.
        variables: What the path of a request has in the places that the template names.
    """
    found: dict[str, str] = {}
    for name, value in variables.items():
        attribute = ATTRIBUTE_BY_NAME.get(name)
        if name in _FOLDER_VARIABLES:
            attribute = ATTRIBUTE_VFOLDER_ID
        elif name == _SESSION_VARIABLE and _uuid(value):
            attribute = ATTRIBUTE_SESSION_ID
        elif name == _FOLDER_VARIABLE and _uuid(value) and _FOLDER_ROUTE.match(route):
            attribute = ATTRIBUTE_VFOLDER_ID
        # Users write UUIDs without dashes and in capitals, too; every other span has them in one spelling.
        text = None if attribute is None else entity_text(_uuid(value) or value)
        if attribute is not None and text is not None:
            found[attribute] = text
    return found


def _uuid(value: str) -> UUID | None:
    # The class takes braces, dashes anywhere and `urn:`, too.
    try:
        found = UUID(value)
    except ValueError:
        return None
    return found if value.lower() in (str(found), found.hex) else None


def entity_text(value: object) -> str | None:
    """An ID as the text of an attribute; ``None`` when there is none, or none that may be one.

    Args:
        value: A text with the characters and the length of a request ID, which is what can be searched for; a UUID; or
            a sequence of one of them.
    """
    if isinstance(value, (list, tuple)):
        # Of several none: the attribute would be wrong for the others.
        value = value[0] if len(value) == 1 else None
    if isinstance(value, UUID):
        return str(value)
    return value if is_acceptable(value) else None


def _folder_of(value: object) -> object:
    """The ID of the folder in a VFolderID. Its text writes it without dashes, unlike every other place."""
    if not is_acceptable(value):
        return getattr(value, "folder_id", None)
    folder = value.rpartition("/")[2]
    try:
        return UUID(hex=folder)
    except ValueError:
        return folder


class _Fields:
    """The attributes of an object, read as a mapping is."""

    def __init__(self, fields: object) -> None:
        self._fields = fields

    def get(self, name: str) -> object:
        """The attribute, or ``None``."""
        return getattr(self._fields, name, None)
